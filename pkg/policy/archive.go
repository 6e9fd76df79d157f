package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// An archive is a bundle with its signatures in one text, the form in which it is published. The first line is the
// canonical form, each further line one signature:
//
//	{"bundle.yaml":{…},…}
//	{"role":"hiring","person":"ada","signature":"U1NIU0lH…"}
//
// There is one text for one content: another is refused, so that no byte can be changed unseen.

// maxArchive bounds an archive; it has to pass through Kafka.
const maxArchive = 900 << 10

type archived struct {
	Role      string `json:"role"`
	Person    string `json:"person"`
	Signature string `json:"signature"`
}

// Pack writes a bundle and its signatures as an archive.
func (p *Policy) Pack(signatures []Signature) ([]byte, error) {
	sorted := slices.Clone(signatures)
	sortSignatures(sorted)
	var b bytes.Buffer
	b.Write(p.canonical)
	b.WriteByte('\n')
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, s := range sorted {
		if err := e.Encode(archived{s.Role, s.Person, base64.StdEncoding.EncodeToString(s.blob)}); err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
	}
	if b.Len() > maxArchive {
		return nil, fmt.Errorf("the archive is %d bytes long, over %d: shorten the bundle", b.Len(), maxArchive)
	}
	return b.Bytes(), nil
}

var errArchive = errors.New("is no policy archive as `concord policy pack` writes it")

// Unpack reads an archive. It judges the form alone; what is in it is for Check and Verify. Faults in the bundle name
// places in the canonical form, which is one line.
func Unpack(archive []byte) (*Policy, []Signature, error) {
	if len(archive) > maxArchive {
		return nil, nil, errArchive
	}
	canonical, rest, ok := bytes.Cut(archive, []byte("\n"))
	if !ok {
		return nil, nil, errArchive
	}
	var documents map[string]json.RawMessage
	if err := json.Unmarshal(canonical, &documents); err != nil {
		return nil, nil, errArchive
	}
	files := Files{}
	for name, text := range documents {
		files[name] = text
	}
	var signatures []Signature
	for line := range bytes.Lines(rest) {
		var a archived
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, nil, errArchive
		}
		blob, err := base64.StdEncoding.DecodeString(a.Signature)
		if err != nil {
			return nil, nil, errArchive
		}
		if slices.ContainsFunc(signatures, func(s Signature) bool { return s.Role == a.Role && s.Person == a.Person }) {
			return nil, nil, errArchive
		}
		signatures = append(signatures, Signature{a.Role, a.Person, blob})
	}
	p, err := Parse(files)
	if err != nil {
		return nil, nil, err
	}
	again, err := p.Pack(signatures)
	if err != nil || !bytes.Equal(again, archive) {
		return nil, nil, errArchive
	}
	return p, signatures, nil
}
