package api

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/host"
)

// TestLifecycle names each event of a guest's, and those of the host by their facts. docs/api.md has all actions.
func TestLifecycle(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, action := range guestActions {
		event := reflect.New(kind).Elem()
		event.FieldByName("Name").SetString("web")
		got := lifecycleOf(event.Interface())
		if got.Action != "guest-"+action || got.Name != "web" || got.Source != "/1.0/guests/web" {
			t.Errorf("%v: %+v", kind, got)
		}
		if !strings.Contains(string(page), "`guest-"+action+"`") {
			t.Errorf("docs/api.md does not have guest-%s", action)
		}
	}
	if got := lifecycleOf(host.Stage{Name: "xen"}); got.Action != "host-stage" || got.Source != "/1.0/host" {
		t.Errorf("%+v", got)
	}
}
