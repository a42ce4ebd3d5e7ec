// Hostile does what a hostile guest, or a broken program in dom0, may do. A test has the machine fetch it, start it and
// ask the test for orders (test/vm/hostile_test.go); no disc has it.
//
//	hostile URL       ask URL for orders, and carry them out one after the other
//	hostile api       open connections to dom0's API and never read
//	hostile flush     take away all rules of dom0's nftables
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// orders are what the test may ask for. Each ends by itself.
var orders = map[string]func(context.Context) error{
	"nothing": func(context.Context) error { return nil },
	"console": floodConsole, "xenstore": floodXenstore, "quota": fillXenstore, "address": floodAddress,
	"arp": spoofARP, "dhcp": spoofDHCP, "ra": spoofRA, "mac": spoofMAC,
}

// Orders that an IPv4 address follows: to send from it, and to ask for it by ARP without end.
const (
	pretend = "pretend "
	ask     = "ask "
)

// find returns what an order asks for, nil for one that is not known.
func find(order string) func(context.Context) error {
	if address, is := strings.CutPrefix(order, pretend); is {
		return func(context.Context) error { return sendFrom(address) }
	}
	if address, is := strings.CutPrefix(order, ask); is {
		return func(context.Context) error { return askFor(address) }
	}
	return orders[order]
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: hostile URL|api|flush")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "api":
		holdAPI()
		return
	case "flush":
		if err := flushRules(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	for {
		if err := obey(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(time.Second)
		}
	}
}

// obey fetches one order, carries it out, and says what became of it.
func obey(url string) error {
	order, err := fetch(url + "/order")
	if err != nil {
		return err
	}
	did := find(order)
	if did == nil {
		return fmt.Errorf("what is %q?", order)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	said := "ok"
	if err := did(ctx); err != nil {
		said = err.Error()
	}
	response, err := http.Post(url+"/done", "text/plain", strings.NewReader(said))
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func fetch(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
