package ats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/ats/loose"
)

// Canonical turns a native value into canonical text. A value that does not fit its type keeps its own text:
// a wrong value must be seen, not lost.
func Canonical(t FieldType, raw json.RawMessage) string {
	b := bytes.TrimSpace(raw)
	if len(b) == 0 || string(b) == "null" {
		return ""
	}
	if b[0] == '{' || b[0] == '[' {
		return sortedJSON(b)
	}
	var text loose.Text
	if err := text.UnmarshalJSON(b); err != nil {
		return string(b)
	}
	s := string(text)
	switch t {
	case FieldNumber:
		if n, ok := Decimal(s); ok {
			return n
		}
	case FieldBool:
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "yes":
			return "true"
		case "false", "no":
			return "false"
		}
	case FieldJSON, FieldText, FieldNote, "":
	}
	return s
}

func sortedJSON(b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(b)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return string(b)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// Decimal returns a finite decimal without exponent or trailing zeros, exactly.
func Decimal(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 || strings.ContainsAny(s, "/xXpPoOnNiI_") {
		return "", false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if exp, err := strconv.Atoi(s[i+1:]); err != nil || exp < -64 || exp > 64 {
			return "", false
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", false
	}
	places, exact := r.FloatPrec()
	if !exact {
		return "", false
	}
	return r.FloatString(places), true
}

// NativeValue turns canonical text into the JSON a field takes; null when the text is empty.
func NativeValue(f Field, text string) (json.RawMessage, error) {
	if text == "" {
		return json.RawMessage("null"), nil
	}
	switch f.Type {
	case FieldNumber:
		n, ok := Decimal(text)
		if !ok {
			return nil, fmt.Errorf("element %s is not a number", f.Element)
		}
		return json.RawMessage(n), nil
	case FieldBool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("element %s is not a boolean", f.Element)
		}
		return json.RawMessage(text), nil
	case FieldJSON:
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("element %s is not JSON", f.Element)
		}
		return json.RawMessage(text), nil
	case FieldText, FieldNote, "":
	}
	return json.Marshal(text)
}
