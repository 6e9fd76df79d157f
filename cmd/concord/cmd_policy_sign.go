package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/concord-ats/concord/pkg/nearest"
	"github.com/concord-ats/concord/pkg/policy"
)

func (a *app) policySign() *cobra.Command {
	var role, person, key string
	var statement bool
	cmd := &cobra.Command{
		Use:   "sign DIR",
		Short: "Sign a bundle with an SSH key, in one role",
		Long: "Sign a bundle with an SSH key, in one role. The bundle has to hold (see check). What is signed and the signature are\n" +
			"written to DIR/signatures/ROLE.PERSON and ROLE.PERSON.sig. --key is a private key without a passphrase, or a public\n" +
			"key whose private half the agent (SSH_AUTH_SOCK) has.\n\n" +
			"--statement writes what is to be signed and nothing else; sign it with\n" +
			"  ssh-keygen -Y sign -n concord-policy -f KEY DIR/signatures/ROLE.PERSON",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if role == "" || person == "" || key == "" && !statement {
				return usage("give --role, --as, and --key or --statement")
			}
			if strings.ContainsAny(role+person, "/\\") {
				return usage("--role and --as are names without slashes")
			}
			p, err := a.folder(args[0])
			if err != nil {
				return err
			}
			if faults, _ := p.Check(time.Now()); len(faults) > 0 {
				return a.findings(faults)
			}
			if roles := p.Bundle.Signatures.Roles(); !slices.Contains(roles, role) {
				return usage("--role %s: the bundle asks for no signature in that role; give one of %s%s", role, strings.Join(roles, ", "), nearest.Suggest(role, roles))
			}
			name := filepath.Join("signatures", role+"."+person)
			files := map[string][]byte{name: p.Statement(role, person)}
			if !statement {
				signer, done, err := sshSigner(key, a.getenv("SSH_AUTH_SOCK"))
				if err != nil {
					return err
				}
				signature, err := p.Sign(signer, role, person)
				if err := errors.Join(err, done()); err != nil {
					return err
				}
				if files, err = signature.Files(p); err != nil {
					return err
				}
			}
			if err := os.MkdirAll(filepath.Join(args[0], "signatures"), 0o755); err != nil {
				return fmt.Errorf("write signature: %w", err)
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(args[0], name), text, 0o644); err != nil {
					return fmt.Errorf("write signature: %w", err)
				}
			}
			fmt.Fprintln(a.stdout, filepath.Join(args[0], name))
			a.say("%s", bytes.TrimSpace(p.Statement(role, person)))
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&role, "role", "", "the role in which to sign, such as hiring or process")
	flags.StringVar(&person, "as", "", "who signs, by the name of the keys file")
	flags.StringVar(&key, "key", "", "private key, or the public one of a key the agent has")
	flags.BoolVar(&statement, "statement", false, "only write what is to be signed")
	return cmd
}

// sshSigner opens a private key, or asks the agent for the private half of a public one. Done ends the talk with the agent.
func sshSigner(file, socket string) (s ssh.Signer, done func() error, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, usage("--key %s: %w", file, err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		signer, err := ssh.ParsePrivateKey(text)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return nil, nil, usage("--key %s has a passphrase: run `ssh-add %s`, then give its public key", file, file)
		}
		if err != nil {
			return nil, nil, usage("--key %s is no SSH key: %w", file, err)
		}
		return signer, func() error { return nil }, nil
	}
	if socket == "" {
		return nil, nil, usage("--key %s is a public key, and SSH_AUTH_SOCK names no agent: start ssh-agent, or give the private key", file)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh-agent: %w", err)
	}
	// Hangs up at any end but a signer's, so that an agent that talks to one at a time is free again.
	defer func() {
		if s == nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, nil, fmt.Errorf("ssh-agent: %w", err)
	}
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), public.Marshal()) {
			return s, conn.Close, nil
		}
	}
	return nil, nil, usage("the agent does not have the key %s: run `ssh-add` with its private half", file)
}

// signersFlags name the keys.
type signersFlags struct{ signers, revoked, at string }

func (f *signersFlags) add(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.StringVar(&f.signers, "signers", "", "keys file, in the form of OpenSSH's allowed_signers with principals PERSON/ROLE")
	flags.StringVar(&f.revoked, "revoked", "", "revoked public keys, one a line")
	flags.StringVar(&f.at, "at", "", "the moment to judge keys at, RFC 3339; now when left out")
	return cmd
}

func (f *signersFlags) read(a *app) (*policy.Signers, time.Time, error) {
	at := time.Now()
	if f.signers == "" {
		return nil, at, usage("give --signers, the keys file")
	}
	if f.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, f.at); err != nil {
			return nil, at, usage("--at %s: give a time such as 2026-03-01T09:00:00Z", f.at)
		}
	}
	s, err := readSigners(f.signers, f.revoked)
	if err != nil {
		return nil, at, a.findings(err)
	}
	return s, at, nil
}

// readSigners reads a keys file and, where there is one, the list of revoked keys.
func readSigners(file, revoked string) (*policy.Signers, error) {
	keys, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("keys file: %w", err)
	}
	var gone []byte
	if revoked != "" {
		if gone, err = os.ReadFile(revoked); err != nil {
			return nil, usage("revoked keys: %w", err)
		}
	}
	return policy.ParseSigners(file, keys, revoked, gone)
}

// signed reads a bundle and its signatures from a folder or an archive.
func (a *app) signed(at string) (*policy.Policy, []policy.Signature, error) {
	if info, err := os.Stat(at); err == nil && !info.IsDir() {
		archive, err := os.ReadFile(at)
		if err != nil {
			return nil, nil, fmt.Errorf("read archive: %w", err)
		}
		p, signatures, err := policy.Unpack(archive)
		if err != nil {
			return nil, nil, a.findings(fmt.Errorf("%s %w", at, err))
		}
		return p, signatures, nil
	}
	p, err := a.folder(at)
	if err != nil {
		return nil, nil, err
	}
	signatures, err := policy.ReadSignatures(os.DirFS(at))
	if err != nil {
		return nil, nil, a.findings(err)
	}
	return p, signatures, nil
}

// proved reads, checks and verifies.
func (a *app) proved(from string, keys *signersFlags) (*policy.Policy, []policy.Signature, error) {
	signers, moment, err := keys.read(a)
	if err != nil {
		return nil, nil, err
	}
	p, signatures, err := a.signed(from)
	if err != nil {
		return nil, nil, err
	}
	if faults, _ := p.Check(moment); len(faults) > 0 {
		return nil, nil, a.findings(faults)
	}
	if err := p.Verify(signatures, signers, moment); err != nil {
		return nil, nil, a.findings(err)
	}
	return p, signatures, nil
}

func (a *app) policyVerify() *cobra.Command {
	var keys signersFlags
	return keys.add(a.jsonFlag(&cobra.Command{
		Use:   "verify DIR|ARCHIVE",
		Short: "Prove, offline, that everybody has signed a bundle who must",
		Long: "Prove, offline, that everybody has signed a bundle who must: by the bundle's own list of roles, with keys the keys\n" +
			"file gives to those persons for those roles, neither expired nor revoked, nobody counted twice. Exit code 1 when not.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, signatures, err := a.proved(args[0], &keys)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, s := range signatures {
				rows = append(rows, []string{s.Role, s.Person})
			}
			slices.SortFunc(rows, slices.Compare)
			if a.json {
				return a.printJSON(struct {
					Digest     policy.Digest      `json:"digest"`
					Signatures []policy.Signature `json:"signatures"`
				}{p.Digest(), signatures})
			}
			a.say("%s %s is signed by all who must, sha256:%s", p.Bundle.Name, p.Bundle.Version, p.Digest())
			return a.table([]string{"ROLE", "PERSON"}, rows)
		},
	}))
}

func (a *app) policyPack() *cobra.Command {
	var keys signersFlags
	var out string
	cmd := keys.add(&cobra.Command{
		Use:   "pack DIR",
		Short: "Write a checked and signed bundle as one file",
		Long:  "Check and verify a bundle, and write it with its signatures as one archive: the form in which processes take it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usage("give --out, the file to write")
			}
			p, signatures, err := a.proved(args[0], &keys)
			if err != nil {
				return err
			}
			archive, err := p.Pack(signatures)
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, archive, 0o644); err != nil {
				return fmt.Errorf("write archive: %w", err)
			}
			fmt.Fprintln(a.stdout, p.Digest())
			return nil
		},
	})
	cmd.Flags().StringVar(&out, "out", "", "the file to write")
	return cmd
}
