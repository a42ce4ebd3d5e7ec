package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// description3 is openapi.yaml, which is version 3 of OpenAPI.
var description3 = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// router finds the operation of a request.
var router = sync.OnceValues(func() (routers.Router, error) {
	doc, err := description3()
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// described holds an answer to openapi.yaml, and the request too where it was taken.
func described(t testing.TB, r *http.Request, answer *http.Response, body []byte) {
	t.Helper()
	find, err := router()
	if err != nil {
		t.Fatal(err)
	}
	found, path, err := find.FindRoute(r)
	if err != nil {
		if answer.StatusCode < 400 {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		return
	}
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: path, Route: found}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: answer.StatusCode, Header: answer.Header,
		Body: io.NopCloser(bytes.NewReader(body)),
	}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: openapi.yaml does not describe the answer: %v\n%s", r.Method, r.URL.Path, err, body)
	}
}

// TestDescriptionHasEveryRoute holds openapi.yaml and docs/api.md to the table of routes.
func TestDescriptionHasEveryRoute(t *testing.T) {
	doc, err := description3()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range routes {
		want = append(want, r.method+" "+r.path)
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			got = append(got, method+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("openapi.yaml has\n%s, the table\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range want {
		if !bytes.Contains(page, []byte("| `"+r+"`")) {
			t.Errorf("docs/api.md does not have %s", r)
		}
	}
}

// TestDescriptionHasEveryField holds the schemas to the types.
func TestDescriptionHasEveryField(t *testing.T) {
	doc, err := description3()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		Server{}, Guest{}, Disk{}, Changes{}, NIC{}, GuestState{}, CPUState{}, MemoryState{}, Traffic{}, Host{},
		Network{}, Medium{}, StateVolume{}, Daemon{}, Store{}, HostState{}, Dom0Memory{}, Reservation{},
		StatePut{}, GuestPatch{}, GuestPost{}, DevicePost{}, SavePost{}, ConsolePost{}, ConsoleCommand{},
		Operation{}, OperationMetadata{}, Progress{}, Event{}, Lifecycle{}, LogLine{},
	} {
		of := reflect.TypeOf(v)
		schema := doc.Components.Schemas[of.Name()]
		if schema == nil {
			t.Errorf("there is no schema %s", of.Name())
			continue
		}
		var want, required []string
		for i := range of.NumField() {
			name, optional, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
			if optional == "" {
				required = append(required, name)
			}
		}
		var got []string
		for name := range schema.Value.Properties {
			got = append(got, name)
		}
		for _, list := range [][]string{want, required, got, schema.Value.Required} {
			slices.Sort(list)
		}
		if !slices.Equal(got, want) || !slices.Equal(schema.Value.Required, required) {
			t.Errorf("%s has\n%v, in the description\n%v;\nof them always %v, in the description %v",
				of.Name(), want, got, required, schema.Value.Required)
		}
	}
}

// TestTestsOnlyLibrary has what checks the description stay out of the program.
func TestTestsOnlyLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/zerodisc/zerodisc/cmd/init").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "kin-openapi") {
		t.Error("cmd/init imports kin-openapi")
	}
}
