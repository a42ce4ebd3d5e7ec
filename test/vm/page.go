package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Fetch gets the page that a host at address, behind the machine's NIC, serves on port 80.
func (m *VM) Fetch(address string, limit time.Duration) string {
	m.t.Helper()
	ctx, cancel := m.Within(limit)
	defer cancel()
	from, err := m.Forward(ctx, m.nic, address, 80)
	if err != nil {
		m.fail("forward a port", err)
	}
	page, err := fetch(ctx, "http://"+from+"/")
	if err != nil {
		m.fail(fmt.Sprintf("fetch the page of %s within %v", address, limit), err)
	}
	return page
}

// fetch tries until there is a page or ctx ends: QEMU accepts connections before the guest does.
func fetch(ctx context.Context, url string) (string, error) {
	for {
		page, err := fetchOnce(ctx, url)
		if err == nil {
			return page, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(time.Second):
		}
	}
}

func fetchOnce(ctx context.Context, url string) (string, error) {
	try, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	request, err := http.NewRequestWithContext(try, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(page), err
}
