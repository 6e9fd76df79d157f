package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/concord-ats/concord/pkg/ats"
)

// Translation is what an instance of an ATS calls things, for the client that writes to it and the gateway that reads its
// webhooks: the base mapping, with the addenda for that instance. Fields that only some regions or types have are read, the
// narrowest first, and never written: a write knows neither. Its error is about the instance and does not name it.
func (p *Policy) Translation(instance string) (ats.Mapping, error) {
	id, system := p.Bundle.system(instance)
	if system == nil || system.Kind != KindATS || p.base(id) == nil {
		return ats.Mapping{}, errors.New("is no ATS of the policy's inventory: add it to bundle.yaml, systems, instances")
	}
	v := p.variantOf(id, Selector{Instance: instance})
	out := ats.Mapping{System: instance, RejectReason: v.rejectWith, WithdrawReasons: v.withdrawReasons, HireReason: v.hireWith}
	field := func(element, key string, writable bool) error {
		native := system.Native.Fields[key]
		f := ats.Field{Element: element, Key: key, Type: fieldTypes[native.Type], ReadOnly: !writable}
		if f.Type == ats.FieldNote {
			f.Key = ""
		}
		if native.ID != "" {
			var err error
			if f.ID, err = strconv.ParseInt(native.ID, 10, 64); err != nil {
				return fmt.Errorf("%s: systems.%s.native.fields.%s.id = %s: is no number", BundleFile, id, key, native.ID)
			}
		}
		if !slices.ContainsFunc(out.Fields, func(g ats.Field) bool { return g.Element == f.Element && g.Key == f.Key }) {
			out.Fields = append(out.Fields, f)
		}
		return nil
	}
	addenda := p.addenda()
	slices.SortStableFunc(addenda, func(a, b *Mapping) int { return a.For.width() - b.For.width() })
	for _, m := range addenda {
		if m.System != id || m.For.Region+m.For.Type == "" || m.For.Instance != "" && m.For.Instance != instance {
			continue
		}
		for _, element := range keys(m.Fields) {
			if key := m.Fields[element]; key != v.fields[element] {
				if err := field(element, key, false); err != nil {
					return ats.Mapping{}, err
				}
			}
		}
	}
	for _, element := range keys(v.fields) {
		key := v.fields[element]
		e := v.element(element, *p.Dictionary.Elements[element])
		if err := field(element, key, e.WriteBack && system.Native.Fields[key].Writable); err != nil {
			return ats.Mapping{}, err
		}
	}
	if r := p.base(id).Requisition; r != nil {
		out.RegionField, out.Regions, out.TypeField, out.Types = r.RegionField, r.Regions, r.TypeField, r.Types
	}
	return out, out.Validate()
}

// NoATS reports whether an instance is one of a team without an ATS.
func (p *Policy) NoATS(instance string) bool {
	_, s := p.Bundle.system(instance)
	return s != nil && s.Kind == KindNone
}

// fieldTypes are the types of native fields as a client knows them.
var fieldTypes = map[FieldType]ats.FieldType{"text": ats.FieldText, "number": ats.FieldNumber, "boolean": ats.FieldBool, "json": ats.FieldJSON, "note": ats.FieldNote}
