package bytesize

import "testing"

func TestText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0.0 kB", 160: "0.2 kB", 1000: "1.0 kB", 999_900: "999.9 kB", 1_000_000: "1.0 MB", 39_251_000: "39.3 MB",
		15_500_000_000: "15.5 GB", 2_000_000_000_000: "2.0 TB", 1 << 62: "4611686.0 TB",
	} {
		if got := Text(n); got != want {
			t.Errorf("Text(%d) is %q, want %q", n, got, want)
		}
	}
}
