package guests

import (
	"os"
	"regexp"
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
		host.Elsewhere = true // as mkiso sees it: on the disc nothing can be written to
		if _, err := guest.Resolve(host); err != nil {
			t.Errorf("docs/guests.md: %v in\n%s", err, block)
		}
		resolved++
	}
	if resolved < 2 {
		t.Errorf("%d complete examples found", resolved)
	}
}
