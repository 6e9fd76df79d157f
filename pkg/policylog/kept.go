package policylog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

const (
	keptSuffix  = ".archive"
	takenSuffix = ".taken"
)

// keep puts a proven archive into the folder, so that what is in force can be read when the topic has lost it. An error is
// logged: the topic is there.
func (l *Log) keep(d policy.Digest, archive []byte) {
	if l.cfg.Dir == "" {
		return
	}
	file := l.keptFile(hiring.Digest(d[:16]))
	if _, err := os.Stat(file); err == nil {
		return
	}
	if err := writeWhole(file, archive); err != nil {
		l.cfg.Logger.Warn("a policy is not kept on disk", zap.String("policy", d.String()), zap.Error(err))
		return
	}
	l.forget()
}

func (l *Log) keptFile(d hiring.Digest) string {
	return filepath.Join(l.cfg.Dir, hex.EncodeToString(d[:])+keptSuffix)
}

// took remembers over a restart that a bundle was proven and taken up: it stays so when a key expires or is revoked later. Without
// signatures nothing was proven.
func (l *Log) took(d hiring.Digest) {
	if l.cfg.Dir == "" || l.cfg.Dev || l.tookBefore(d) {
		return
	}
	if err := writeWhole(l.takenFile(d), nil); err != nil {
		l.cfg.Logger.Warn("that a policy was taken up is not kept on disk", zap.String("policy", hex.EncodeToString(d[:])), zap.Error(err))
	}
}

func (l *Log) tookBefore(d hiring.Digest) bool {
	if l.cfg.Dir == "" {
		return false
	}
	_, err := os.Stat(l.takenFile(d))
	return err == nil
}

func (l *Log) takenFile(d hiring.Digest) string {
	return filepath.Join(l.cfg.Dir, hex.EncodeToString(d[:])+takenSuffix)
}

func writeWhole(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// forget removes the oldest archives beyond as many as can be in force.
func (l *Log) forget() {
	names, err := filepath.Glob(filepath.Join(l.cfg.Dir, "*"+keptSuffix))
	if err != nil || len(names) <= hiring.MaxBundles {
		return
	}
	written := map[string]int64{}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			written[name] = info.ModTime().UnixNano()
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(written[a] - written[b]) })
	for _, name := range names[:len(names)-hiring.MaxBundles] {
		if err := os.Remove(name); err != nil {
			l.cfg.Logger.Warn("an old policy stays on disk", zap.Error(err))
		}
	}
}

// kept reads a bundle from the folder: its digest proves its text, as it does that of the topic. Nil for none.
func (l *Log) kept(d hiring.Digest) *Bundle {
	if l.cfg.Dir == "" {
		return nil
	}
	file := l.keptFile(d)
	archive, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		var p *policy.Policy
		if p, _, err = policy.Unpack(archive); err == nil {
			b, refused := open(p.Digest(), &kgo.Record{Value: archive})
			switch full := p.Digest(); {
			case refused != nil:
				err = refused
			case hiring.Digest(full[:16]) != d:
				err = fmt.Errorf("it is the bundle %s", full)
			default:
				l.mu.Lock()
				defer l.mu.Unlock()
				if known := l.bundles[d]; known != nil {
					return known
				}
				l.bundles[d] = b
				l.cfg.Logger.Warn("the topic does not hold a policy in force, and it is read from disk: publish it again", zap.String("policy", full.String()))
				return b
			}
		}
	}
	l.cfg.Logger.Warn("a policy on disk does not hold", zap.String("file", file), zap.Error(err))
	return nil
}
