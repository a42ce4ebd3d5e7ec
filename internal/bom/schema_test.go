package bom

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// loadSchema reads a schema that comes with the library's sources.
func loadSchema(t *testing.T, name string, into any) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "schema", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestSchema(t *testing.T) {
	root := map[string]any{}
	loadSchema(t, "bom-1.6.schema.json", &root)
	s := schema{root}
	good := write(t, testInput())
	for _, fault := range s.check(parse(t, good), root, "") {
		t.Error(fault)
	}
	for name, text := range map[string]string{
		"required": strings.Replace(string(good), `"name": "zlib1g",`, "", 1),
		"unknown":  strings.Replace(string(good), `"metadata"`, `"metadate"`, 1),
		"pattern":  strings.Replace(string(good), "urn:uuid:", "urn:", 1),
		"enum":     strings.Replace(string(good), `"SHA-256"`, `"SHA"`, 1),
		"type":     strings.Replace(string(good), `"version": 1,`, `"version": "1",`, 1),
	} {
		if len(s.check(parse(t, []byte(text)), root, "")) == 0 {
			t.Errorf("%s: the check finds nothing", name)
		}
	}
}

func parse(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// schema checks values by the parts of JSON Schema (draft 7) that CycloneDX's is mostly made of.
// References to other files are taken as met.
type schema struct{ root map[string]any }

// check lists what is wrong with a value at a path.
func (s schema) check(value any, rule map[string]any, path string) (faults []string) {
	if ref, ok := rule["$ref"].(string); ok {
		name, local := strings.CutPrefix(ref, "#/definitions/")
		if !local {
			return nil
		}
		return s.check(value, s.root["definitions"].(map[string]any)[name].(map[string]any), path)
	}
	fault := func(format string, args ...any) { faults = append(faults, path+": "+fmt.Sprintf(format, args...)) }
	if enum, ok := rule["enum"].([]any); ok && !slices.Contains(enum, value) {
		fault("%v is none of %v", value, enum)
	}
	if alternatives, ok := rule["oneOf"].([]any); ok {
		meets := func(a any) bool { return len(s.check(value, a.(map[string]any), path)) == 0 }
		if !slices.ContainsFunc(alternatives, meets) {
			fault("is none of the alternatives")
		}
	}
	kind, _ := rule["type"].(string)
	switch v := value.(type) {
	case map[string]any:
		faults = append(faults, s.checkObject(v, rule, path)...)
		value = "object"
	case []any:
		faults = append(faults, s.checkArray(v, rule, path)...)
		value = "array"
	case string:
		pattern, _ := rule["pattern"].(string)
		if !regexp.MustCompile(pattern).MatchString(v) {
			fault("%q does not match %s", v, pattern)
		}
		value = "string"
	case float64:
		value = "integer"
	}
	if kind != "" && kind != value {
		fault("is of type %v, not %s", value, kind)
	}
	return faults
}

func (s schema) checkObject(v, rule map[string]any, path string) (faults []string) {
	required, _ := rule["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			faults = append(faults, fmt.Sprintf("%s: lacks %s", path, name))
		}
	}
	properties, _ := rule["properties"].(map[string]any)
	for name, value := range v {
		property, known := properties[name].(map[string]any)
		if known {
			faults = append(faults, s.check(value, property, path+"/"+name)...)
		} else if rule["additionalProperties"] == false {
			faults = append(faults, fmt.Sprintf("%s: has %s, which is not known", path, name))
		}
	}
	return faults
}

func (s schema) checkArray(v []any, rule map[string]any, path string) (faults []string) {
	if most, ok := rule["maxItems"].(float64); ok && len(v) > int(most) {
		faults = append(faults, fmt.Sprintf("%s: has %d items", path, len(v)))
	}
	each, same := rule["items"].(map[string]any)
	if list, ok := rule["items"].([]any); ok && len(list) == 1 {
		each, same = list[0].(map[string]any), true
	}
	for i, item := range v {
		if same {
			faults = append(faults, s.check(item, each, fmt.Sprintf("%s/%d", path, i))...)
		}
	}
	return faults
}
