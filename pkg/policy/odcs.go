package policy

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/schemas"
)

// The Open Data Contract Standard, version 3.1: the parts that are used.
type (
	contract struct {
		APIVersion  string              `yaml:"apiVersion"`
		Kind        string              `yaml:"kind"`
		ID          string              `yaml:"id"`
		Name        string              `yaml:"name"`
		Version     string              `yaml:"version"`
		Status      string              `yaml:"status"`
		Domain      string              `yaml:"domain"`
		Description contractDescription `yaml:"description"`
		Schema      []contractObject    `yaml:"schema"`
		SLA         []contractSLA       `yaml:"slaProperties"`
		Custom      []contractCustom    `yaml:"customProperties"`
	}
	contractDescription struct {
		Purpose string `yaml:"purpose"`
		Usage   string `yaml:"usage"`
	}
	contractObject struct {
		Name         string             `yaml:"name"`
		PhysicalName string             `yaml:"physicalName,omitempty"`
		PhysicalType string             `yaml:"physicalType"`
		LogicalType  string             `yaml:"logicalType"`
		Description  string             `yaml:"description"`
		Properties   []contractProperty `yaml:"properties"`
	}
	contractProperty struct {
		Name           string             `yaml:"name,omitempty"`
		LogicalType    string             `yaml:"logicalType"`
		PhysicalType   string             `yaml:"physicalType,omitempty"`
		Description    string             `yaml:"description,omitempty"`
		Required       bool               `yaml:"required,omitempty"`
		Classification string             `yaml:"classification,omitempty"`
		Items          *contractProperty  `yaml:"items,omitempty"`
		Properties     []contractProperty `yaml:"properties,omitempty"`
		Custom         []contractCustom   `yaml:"customProperties,omitempty"`
	}
	contractSLA struct {
		Property    string `yaml:"property"`
		Value       string `yaml:"value"`
		Element     string `yaml:"element,omitempty"`
		Driver      string `yaml:"driver,omitempty"`
		Description string `yaml:"description,omitempty"`
	}
	contractCustom struct {
		Property string `yaml:"property"`
		Value    any    `yaml:"value"`
	}
)

// ODCS writes a data contract for the topics, in the Open Data Contract Standard 3.1: every topic with its fields, and
// what the dictionary says of the elements they carry.
func (p *Policy) ODCS() (string, error) {
	c := contract{
		APIVersion: "v3.1.0", Kind: "DataContract", ID: p.Bundle.Name, Name: p.Bundle.Name, Version: p.Bundle.Version, Status: "active", Domain: "hiring",
		Description: contractDescription{
			Purpose: "The topics of Concord and the elements of its data dictionary.",
			Usage:   "Keyed by application id; values are Avro in Confluent framing, for any client with the registry.",
		},
		Custom: []contractCustom{{"policyDigest", "sha256:" + p.Digest().String()}},
	}
	for _, t := range schemas.Topics() {
		record, err := schemas.Get(t.Record)
		if err != nil {
			return "", fmt.Errorf("data contract: %w", err)
		}
		c.Schema = append(c.Schema, contractObject{
			Name: t.Name, PhysicalName: t.Name, PhysicalType: "topic", LogicalType: "object", Description: record.Doc, Properties: p.properties(record),
		})
	}
	elements := contractObject{
		Name: "elements", PhysicalType: "element", LogicalType: "object",
		Description: "The elements that records carry as pairs of name and canonical text, by the data dictionary.",
	}
	for _, name := range keys(p.Dictionary.Elements) {
		e := p.Dictionary.Elements[name]
		elements.Properties = append(elements.Properties, contractProperty{
			Name: name, LogicalType: e.logicalType(), PhysicalType: "string", Description: e.Meaning, Classification: string(e.Classification),
			Custom: []contractCustom{
				{"goldenSource", e.Golden.String()}, {"conflictRule", e.conflictWords()}, {"writtenToATS", e.WriteBack}, {"owner", e.Owner},
			},
		})
		c.SLA = append(c.SLA, contractSLA{Property: "retention", Value: e.Retention.String(), Element: "elements." + name, Driver: "regulatory"})
		if e.Mandatory != nil {
			c.SLA = append(c.SLA, contractSLA{
				Property: "latency", Value: e.Mandatory.Within.String(), Element: "elements." + name, Driver: "operational",
				Description: "From the end of the screening until the ATS shows it.",
			})
		}
	}
	c.Schema = append(c.Schema, elements)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return "", fmt.Errorf("data contract: %w", err)
	}
	return b.String(), nil
}

// properties are the fields of a record. Types do not recurse in the contract.
func (p *Policy) properties(record *schemas.Type) []contractProperty {
	var out []contractProperty
	for i := range record.Fields {
		f := &record.Fields[i]
		prop := p.property(f.Type)
		prop.Name, prop.Description, prop.Required = f.Name, f.Doc, f.Default == nil
		if e := p.Dictionary.Elements["screening_"+f.Name]; e != nil && record.Name == "ScreeningResult" {
			prop.Classification = string(e.Classification)
		}
		out = append(out, prop)
	}
	return out
}

func (p *Policy) property(t *schemas.Type) contractProperty {
	out := contractProperty{PhysicalType: t.FullName()}
	if t.Logical != "" {
		out.PhysicalType += " " + t.Logical
	}
	switch t.Kind {
	case schemas.KindBoolean:
		out.LogicalType = "boolean"
	case schemas.KindInt, schemas.KindLong:
		out.LogicalType = "integer"
		if strings.HasPrefix(t.Logical, "timestamp") {
			out.LogicalType = "timestamp"
		}
	case schemas.KindFloat, schemas.KindDouble:
		out.LogicalType = "number"
	case schemas.KindRecord:
		out.LogicalType, out.Properties = "object", p.properties(t)
	case schemas.KindArray:
		items := p.property(t.Items)
		out.LogicalType, out.Items = "array", &items
	case schemas.KindMap:
		out.LogicalType = "object"
	case schemas.KindUnion:
		for _, m := range t.Members {
			if m.Kind != schemas.KindNull {
				return p.property(m)
			}
		}
		out.LogicalType = "string"
	default:
		out.LogicalType = "string"
	}
	return out
}

func (e *Element) logicalType() string {
	switch e.Type {
	case "number", "boolean", "date":
		return string(e.Type)
	case "time":
		return "timestamp"
	case "list":
		return "array"
	}
	return "string"
}
