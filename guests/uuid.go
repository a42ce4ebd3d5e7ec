package guests

import (
	"crypto/sha256"
	"fmt"
)

// UUID makes a guest's UUID where its configuration has none: version 8 of RFC 9562, with 122 bits of SHA-256
// over seed and name. A guest keeps it over restarts and boots, as it keeps its MAC address.
func UUID(seed, guest string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "uuid\x00%s\x00%s", seed, guest))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
