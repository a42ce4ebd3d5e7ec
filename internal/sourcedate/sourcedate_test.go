package sourcedate

import (
	"strings"
	"testing"
	"time"
)

func TestOr(t *testing.T) {
	other := time.Date(2026, time.March, 1, 11, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": other, "315532800": Earliest, "1800000000": time.Unix(1800000000, 0).UTC(), "4354819198": latest,
	} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if got, err := Or(other); err != nil || got != want {
			t.Errorf("%q gives %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"today": "want seconds", "1.5": "want seconds", "99999999999999999999": "want seconds",
		"0": "the year 1970", "315532799": "1979", "4354819199": "2107", "-1": "1969",
	} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if got, err := Or(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, %v, want mention of %q", text, got, err, want)
		}
	}
}
