// Command apitime measures how long the host's API takes to list its guests. The benchmark runs it in dom0.
//
// It asks over one connection, as `guest list` asks once, and prints one line: "APITIME", how many guests there are,
// and two medians in milliseconds. The first is of requests whose answer has to be made, more than a second after each
// other; the second of requests on end.
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

// How often it asks. An answer is used again for a second.
const (
	apart, pause = 20, 1100 * time.Millisecond
	onEnd        = 100
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "apitime:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c := client.New(boot.APISocket)
	guests, made, err := ask(ctx, c, apart, pause)
	if err != nil {
		return err
	}
	_, kept, err := ask(ctx, c, onEnd, 0)
	if err != nil {
		return err
	}
	fmt.Printf("APITIME %d %.2f %.2f\n", guests, made.Seconds()*1000, kept.Seconds()*1000)
	return nil
}

// ask asks so many times, with a pause before each, and returns how many guests there are, and the median.
func ask(ctx context.Context, c *client.Client, times int, pause time.Duration) (int, time.Duration, error) {
	var took []time.Duration
	guests := 0
	for range times {
		time.Sleep(pause)
		start := time.Now()
		list, err := c.Guests(ctx, false)
		if err != nil {
			return 0, 0, err
		}
		guests = len(list)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return guests, took[times/2], nil
}
