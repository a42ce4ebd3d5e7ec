// Command apitime measures how long the host's API takes to list its guests. The benchmark runs it in dom0.
//
// It asks a hundred times over one connection, as `guest list` asks once, and prints one line: "APITIME", how many
// guests there are, and the median in milliseconds.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/client"
)

const times = 100

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "apitime:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c := client.New(boot.APISocket)
	var took []time.Duration
	guests := 0
	for range times {
		start := time.Now()
		list, err := c.Guests(ctx, false)
		if err != nil {
			return err
		}
		guests = len(list)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	fmt.Printf("APITIME %d %.2f\n", guests, took[times/2].Seconds()*1000)
	return nil
}
