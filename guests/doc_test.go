package guests

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDoc holds docs/guests.md to the code: its complete examples have to be accepted.
func TestDoc(t *testing.T) {
	page, err := os.ReadFile("../docs/guests.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?m)(^    [a-z]+ *\+?= .*\n(^    .*\n)*)`).FindAllString(string(page), -1)
	resolved := 0
	for _, block := range blocks {
		if !strings.Contains(block, "kernel") {
			mustParse(t, block)
			continue
		}
		guest := guestWith(t, block)
		host := machine(guest)
		host.Elsewhere = true // as mkiso sees it
		if _, err := guest.Resolve(host); err != nil {
			t.Errorf("docs/guests.md: %v in\n%s", err, block)
		}
		resolved++
	}
	if resolved < 2 {
		t.Errorf("%d complete examples found", resolved)
	}
}

// TestDocNamesSettings holds the page to the settings that are refused of guests that are not trusted.
func TestDocNamesSettings(t *testing.T) {
	page, err := os.ReadFile("../docs/guests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "### Guests that are not trusted")
	section, _, _ = strings.Cut(section, "###")
	var patterns []string
	for _, name := range regexp.MustCompile("`([a-z0-9_]+[*]?)=?`").FindAllStringSubmatch(section, -1) {
		patterns = append(patterns, name[1])
	}
	for _, group := range reaching {
		for _, name := range slices.Concat(group.settings, group.switches) {
			covers := func(pattern string) bool { match, _ := path.Match(pattern, name); return match }
			if !slices.ContainsFunc(patterns, covers) {
				t.Errorf("docs/guests.md does not say that %s is refused", name)
			}
		}
	}
}
