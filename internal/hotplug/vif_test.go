package hotplug

import (
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

const vifPath = "/local/domain/0/backend/vif/1/0"

func vifServer(more map[string]string) *xenstoretest.Server {
	server := xenstoretest.New()
	server.SetAll(vifPath, map[string]string{
		"state": "2", "frontend": "/local/domain/1/device/vif/0", "bridge": "xenbr0", "mac": "00:16:3e:00:00:01",
	})
	server.SetAll("/local/domain/1", map[string]string{"name": "web", "vm": "/vm/some-uuid"})
	server.SetAll(vifPath, more)
	return server
}

// joined is what happens to an interface that becomes a port.
func joined(name, bridge string) string {
	return "rules " + name + " " + bridge + " 00:16:3e:00:00:01 some-uuid web 1; " +
		"port " + bridge + " " + name + "; joined " + name + "; up " + name
}

func TestVif(t *testing.T) {
	const online, tap = "online type_if=vif", "add type_if=tap"
	tests := []struct {
		name   string
		args   string
		store  map[string]string
		calls  string
		status string
		mtu    string
	}{
		{"online", online, nil,
			"wait vif1.0; " + joined("vif1.0", "xenbr0") + "; mtu xenbr0; set mtu vif1.0 1500", "connected", "1500"},
		{"own MTU", online, map[string]string{"mtu": "9000", "bridge": "br1"},
			"wait vif1.0; " + joined("vif1.0", "br1") + "; set mtu vif1.0 9000", "connected", "9000"},
		{"own name", online, map[string]string{"vifname": "web"},
			"wait vif1.0; rename vif1.0 web; " + joined("web", "xenbr0") + "; mtu xenbr0; set mtu web 1500",
			"connected", "1500"},
		{"tap", tap, nil,
			"wait vif1.0-emu; " + joined("vif1.0-emu", "xenbr0") + "; mtu xenbr0; set mtu vif1.0-emu 1500", "-", "-"},
		{"tap with own name", tap, map[string]string{"vifname": "web"},
			"wait vif1.0-emu; rename vif1.0-emu web-emu; " + joined("web-emu", "xenbr0") +
				"; mtu xenbr0; set mtu web-emu 1500", "-", "-"},
		{"offline", "offline type_if=vif", nil, "unplug vif1.0", "-", "-"},
		{"offline with own name", "offline type_if=vif", map[string]string{"vifname": "web"}, "unplug web", "-", "-"},
		{"tap removed", "remove type_if=tap", nil, "unplug vif1.0-emu", "-", "-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, h := vifServer(test.store), newHost()
			if err := run(t, server, h, "vif-bridge", "backend/vif/1/0", strings.Fields(test.args)...); err != nil {
				t.Fatal(err)
			}
			if calls := strings.Join(h.calls, "; "); calls != test.calls {
				t.Errorf("calls %q, want %q", calls, test.calls)
			}
			if status := value(server, vifPath+"/hotplug-status"); status != test.status {
				t.Errorf("hotplug-status %s, want %s", status, test.status)
			}
			if mtu := value(server, "/local/domain/1/device/vif/0/mtu"); mtu != test.mtu {
				t.Errorf("frontend's mtu %s, want %s", mtu, test.mtu)
			}
		})
	}
}

func TestVifFailureReachesXenstore(t *testing.T) {
	tests := []struct {
		name, failing string
		store         map[string]string
		want          string
	}{
		{"no interface", "wait vif1.0", nil, "no luck"},
		{"no bridge", "port xenbr0 vif1.0", nil, "no luck"},
		{"no rules", "rules vif1.0 xenbr0 00:16:3e:00:00:01 some-uuid web 1", nil, "no luck"},
		{"no MTU", "mtu xenbr0", nil, "MTU of bridge xenbr0: no luck"},
		{"name taken", "rename vif1.0 web", map[string]string{"vifname": "web"}, "is the name taken"},
		{"bad MTU", "", map[string]string{"mtu": "big"},
			`mtu="big" in the guest's vif: want a number from 68 to 65517`},
	}
	for _, test := range tests {
		server, h := vifServer(test.store), newHost()
		h.failing = test.failing
		err := run(t, server, h, "vif-bridge", vifPath, "online", "type_if=vif")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if got := value(server, vifPath+"/hotplug-error"); !strings.Contains(got, test.want) {
			t.Errorf("%s: hotplug-error %q", test.name, got)
		}
		if got := value(server, vifPath+"/hotplug-status"); got != "error" {
			t.Errorf("%s: hotplug-status %q", test.name, got)
		}
	}
}

// Writing below a directory that libxl has removed would bring it back as rubbish.
func TestFailureAfterRemovalWritesNothing(t *testing.T) {
	server, h := xenstoretest.New(), newHost()
	h.failing = "wait vif1.0"
	if err := run(t, server, h, "vif-bridge", vifPath, "online", "type_if=vif"); err == nil {
		t.Error("no error")
	}
	if got := value(server, vifPath); got != "-" {
		t.Error("the backend directory was created")
	}
}

func TestParseRequestErrors(t *testing.T) {
	whole := map[string]string{"XENBUS_PATH": "backend/vif/1/0", "vif": "vif1.0"}
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"no action", nil, whole, "no action"},
		{"unknown action", []string{"up"}, whole, `unknown action "up"`},
		{"unknown argument", []string{"online", "type_if=veth"}, whole, `unknown argument "type_if=veth"`},
		{"no path", []string{"online"}, map[string]string{"vif": "vif1.0"}, "XENBUS_PATH is not set"},
		{"bad path", []string{"online"}, map[string]string{"vif": "vif1.0", "XENBUS_PATH": "backend/vif/x/0"},
			"is not .../TYPE/DOMID/DEVICE"},
		{"no interface", []string{"online"}, map[string]string{"XENBUS_PATH": "backend/vif/1/0"}, "vif is not set"},
		{"tap without interface", []string{"add", "type_if=tap"}, whole, "INTERFACE is not set"},
	}
	for _, test := range tests {
		_, err := parseRequest(vifScript, test.args, func(key string) string { return test.env[key] })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("block", "add", "backend/vbd/1/51712")
	f.Add("vif-bridge", "online", "/local/domain/0/backend/vif/1/0")
	f.Fuzz(func(t *testing.T, script, arg, backend string) {
		r, err := parseRequest(script, []string{arg}, func(string) string { return backend })
		if err == nil && !strings.HasPrefix(r.backend, "/") {
			t.Errorf("relative path %q", r.backend)
		}
	})
}
