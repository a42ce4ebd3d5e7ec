package guests

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// completeVif adds mac= and bridge= to an element of vif (xl-network-configuration(5)) that has
// none, and returns it with the MAC address it ends up with.
func completeVif(spec, mac, bridge string) (completed, used string) {
	given := map[string]string{}
	for _, part := range strings.Split(spec, ",") {
		key, value, _ := strings.Cut(strings.TrimLeft(part, " "), "=")
		given[key] = value
	}
	parts := []string{strings.TrimRight(spec, ", ")}
	if parts[0] == "" {
		parts = nil
	}
	if given["mac"] == "" {
		given["mac"] = mac
		parts = append(parts, "mac="+mac)
	}
	if given["bridge"] == "" {
		parts = append(parts, "bridge="+bridge)
	}
	return strings.Join(parts, ","), given["mac"]
}

// MAC makes the address of a guest's network interface: Xen's prefix 00:16:3e and the first 24
// bits of SHA-256 over seed, guest name and index, NUL between them. The same guest keeps its
// address, and so its DHCP lease, over restarts; two machines on one LAN that run the same disc
// differ by their seed. 24 bits are few, but two of ten hosts with ten guests each collide once
// in 3,000 such networks.
func MAC(seed, guest string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", seed, guest, index))
	return fmt.Sprintf("00:16:3e:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}
