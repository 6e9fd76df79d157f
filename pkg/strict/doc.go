// Package strict reads the YAML files that people write: into structs, with every fault told at once, each with its
// place, its value and its fix. The JSON Schema for editors is made from the same structs.
//
// A struct's fields carry the tags
//
//	key:"name"            the key in the file; key:"name,required" has to be there
//	doc:"what it means"   for the JSON Schema
//
// Every key is known, there are no anchors, no tags and no null values. Every scalar is taken as its text, whatever its
// quotes: the field's type says what the text must be. A type may also be an [encoding.TextUnmarshaler], and say more of
// itself by [Closed], [Short], [Described] and [Formed].
package strict
