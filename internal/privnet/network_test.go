package privnet

import "testing"

func TestConnections(t *testing.T) {
	for memory, want := range map[uint64]uint64{
		0: 64_000, 240 << 20: 64_000, 512 << 20: 131_072, 1 << 30: 256_000, 64 << 30: 256_000,
	} {
		if got := connections(memory); got != want {
			t.Errorf("%d MiB: %d connections, want %d", memory>>20, got, want)
		}
	}
}
