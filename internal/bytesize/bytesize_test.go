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

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "512": 512, "1K": 1 << 10, "1k": 1 << 10, "256M": 256 << 20, "4G": 4 << 30, "2t": 2 << 40,
		"": 0, "M": 0, "-1M": 0, "0": 0, "1.5G": 0, "1Q": 0, "9000000000T": 0, "9223372036854775807": 0,
	} {
		if got, err := Parse(text); (err == nil) != (want > 0) || want > 0 && got != want {
			t.Errorf("Parse(%q) is %d, %v, want %d", text, got, err, want)
		}
	}
}
