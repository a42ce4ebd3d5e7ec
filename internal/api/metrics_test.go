package api

import (
	"regexp"
	"strings"
	"testing"
)

// TestMetrics holds the page to the text format: each metric has its help and its type once, before its readings, and
// counters alone end in _total.
func TestMetrics(t *testing.T) {
	w := newWorld(t, Read)
	answer, page := w.ask("GET", "/1.0/metrics", "")
	if got := answer.Header.Get("Content-Type"); got != metricsType {
		t.Errorf("it is %s", got)
	}
	help := regexp.MustCompile(`^# HELP ([a-z0-9_]+) \S.*\.$`)
	line := regexp.MustCompile(`^([a-z0-9_]+)(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? [0-9.e+]+$`)
	lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	seen, readings := map[string]bool{}, map[string]bool{}
	name := ""
	for i, text := range lines {
		if h := help.FindStringSubmatch(text); h != nil {
			name = h[1]
			want := "# TYPE " + name + " gauge"
			if strings.HasSuffix(name, "_total") {
				want = "# TYPE " + name + " counter"
			}
			if seen[name] || i+1 == len(lines) || lines[i+1] != want {
				t.Errorf("%s: seen before %v; want %s next", text, seen[name], want)
			}
			seen[name] = true
			continue
		}
		if strings.HasPrefix(text, "# TYPE ") {
			continue
		}
		if l := line.FindStringSubmatch(text); l == nil || l[1] != name || readings[l[1]+l[2]] {
			t.Errorf("%q after the help of %q", text, name)
		} else {
			readings[l[1]+l[2]] = true
		}
	}
	for _, want := range []string{
		`zerodisc_guest_info{guest="old",uuid="",type="",status="refused"} 1`,
		`zerodisc_guest_memory_bytes{guest="web"} 1.00663296e+08`,
		`zerodisc_guest_changes_budget_bytes{guest="web"} 6.7108864e+07`,
		`zerodisc_guest_dropped_packets_total{guest="web",reason="dhcp"} 3`,
		`zerodisc_guest_dropped_bytes_total{guest="web",reason="dhcp"} 300`,
		`zerodisc_service_restarts_total{service="xenstored"} 0`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("there is no %s in\n%s", want, page)
		}
	}
}

func TestLabelValues(t *testing.T) {
	var page metricsPage
	page.add("m", gauge, "H.", []reading{{1, []string{"a", "x\\y\"z\n"}}})
	if got, want := page.String(), "# HELP m H.\n# TYPE m gauge\nm{a=\"x\\\\y\\\"z\\n\"} 1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
