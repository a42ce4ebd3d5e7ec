package netcfg

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// Rivals is a state: several DHCP servers have answered one DISCOVER.
type Rivals struct{ Servers []netip.Addr } // in order of their addresses

func (Rivals) isState() {}

// hearRivals listens for the servers that answer a search, also after the client has taken the first offer. It
// returns at once, and ends with ctx.
func (c *Client) hearRivals(ctx context.Context, id identity, xid dhcpv4.TransactionID) {
	conn, err := id.listen()
	if err != nil {
		return // the search fails of the same, and says so
	}
	end := time.Now().Add(c.timing.AnswerGrace)
	guarded.Go(ctx, func() {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		var servers []netip.Addr
		for buffer := make([]byte, maxMessage); conn.SetReadDeadline(end) == nil && len(servers) < maxHeard; {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				break
			}
			message, err := dhcpv4.FromBytes(buffer[:n])
			if err != nil || message.TransactionID != xid || !isOffer(message) {
				continue
			}
			server, _ := serverOf(message)
			servers = appendNew(servers, server)
		}
		if len(servers) > 1 && ctx.Err() == nil {
			slices.SortFunc(servers, netip.Addr.Compare)
			c.options.Report(Rivals{servers})
		}
	})
}
