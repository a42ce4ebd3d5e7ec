// Command scanner scans addresses from where it runs, a guest, and sends what it has found to a TCP port, as JSON:
// scanner HOST:PORT ADDRESS...
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/zerodisc/zerodisc/test/vm/portscan"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scanner:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var results []*portscan.Result
	for _, arg := range args[1:] {
		target, err := netip.ParseAddr(arg)
		if err != nil {
			return err
		}
		result, err := portscan.Scan(context.Background(), target)
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	conn, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	return json.NewEncoder(conn).Encode(results)
}
