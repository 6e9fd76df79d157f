package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one leaf of the struct: a key with a place for its value.
type field struct {
	key   string
	doc   string
	value reflect.Value
}

// variable is the environment variable of a key.
func variable(key string) string {
	return "CONCORD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// fields returns the leaves below v, in the order of the struct. v must be addressable to be set.
func fields(prefix string, v reflect.Value) []field {
	var out []field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := prefix + tag.Get("key")
		f := v.Field(i)
		if f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]() {
			out = append(out, fields(key+".", f)...)
			continue
		}
		out = append(out, field{key: key, doc: tag.Get("doc"), value: f})
	}
	return out
}

func (f field) secret() bool {
	return f.value.Type() == reflect.TypeFor[Secret]() || f.value.Type() == reflect.TypeFor[Secrets]()
}

// setSecret fills a secret from text.
func (f field) setSecret(text string) {
	if f.value.Type() == reflect.TypeFor[Secrets]() {
		f.value.Set(reflect.ValueOf(lines(text)))
		return
	}
	f.value.SetString(text)
}

// table says whether the field is a list of structs, such as ats.
func (f field) table() bool {
	return f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct
}

// set parses raw, a string or what a YAML parser made of it, into the field. The error says what to
// give instead.
func (f field) set(raw any) error {
	if list, ok := raw.([]any); ok && f.value.Type() == reflect.TypeFor[Secrets]() {
		var out Secrets
		for _, item := range list {
			text, ok := item.(string)
			if !ok || text == "" {
				return fmt.Errorf("put each secret in quotes, and none empty: YAML reads one as something other than text")
			}
			out = append(out, Secret(text))
		}
		f.value.Set(reflect.ValueOf(out))
		return nil
	}
	if list, ok := raw.([]any); ok {
		if f.value.Type() != reflect.TypeFor[[]string]() {
			return fmt.Errorf("give one value, not a list")
		}
		items := make([]string, 0, len(list))
		for _, item := range list {
			items = append(items, fmt.Sprint(item))
		}
		f.value.Set(reflect.ValueOf(items))
		return nil
	}
	if _, ok := raw.(map[string]any); ok {
		return fmt.Errorf("give one value, not a table")
	}
	if f.secret() {
		text, ok := raw.(string)
		if !ok {
			return fmt.Errorf("put the secret in quotes: YAML reads it as something other than text")
		}
		f.setSecret(text)
		return nil
	}
	text := ""
	if raw != nil {
		text = strings.TrimSpace(fmt.Sprint(raw))
	}
	switch f.value.Interface().(type) {
	case string:
		f.value.SetString(text)
	case []string:
		items := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		f.value.Set(reflect.ValueOf(items))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("give a duration such as 100ms, 30s or 72h")
		}
		f.value.SetInt(int64(d))
	case time.Time:
		at, isTime := raw.(time.Time) // YAML reads one that has no quotes
		if text == "" {
			at, isTime = time.Time{}, true
		}
		if !isTime {
			var err error
			if at, err = time.Parse(time.RFC3339, text); err != nil {
				return fmt.Errorf("give a time such as 2026-11-01T09:00:00Z")
			}
		}
		f.value.Set(reflect.ValueOf(at.UTC()))
	case Bytes:
		b, err := ParseBytes(text)
		if err != nil {
			return fmt.Errorf("give a number of bytes, or one with KiB, MiB or GiB")
		}
		f.value.SetInt(int64(b))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("give true or false")
		}
		f.value.SetBool(b)
	case int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("give a whole number")
		}
		f.value.SetInt(n)
	case float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("give a number")
		}
		f.value.SetFloat(n)
	default:
		return fmt.Errorf("has a type that cannot be set: %s", f.value.Type())
	}
	return nil
}

// text shows the field's value as it would be written in YAML, a secret cut.
func (f field) text() string {
	switch v := f.value.Interface().(type) {
	case Secret:
		return v.String()
	case Secrets:
		return v.String()
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		return v
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(time.RFC3339)
	default:
		return fmt.Sprint(v)
	}
}
