// Hostile does what a hostile guest, or a broken program in dom0, may do. A test has the machine fetch it, start it and
// ask the test for orders (test/vm/hostile_test.go); no disc has it.
//
//	hostile URL       ask URL for orders, and carry them out one after the other
//	hostile api       open connections to dom0's API and never read
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
	"arp": spoofARP, "dhcp": spoofDHCP, "ra": spoofRA,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: hostile URL|api")
		os.Exit(2)
	}
	if os.Args[1] == "api" {
		holdAPI()
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
	order, err := ask(url + "/order")
	if err != nil {
		return err
	}
	did := orders[order]
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

func ask(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
