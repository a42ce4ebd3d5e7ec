package console

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// A program on a terminal ends with the thread that started it, which therefore must do nothing else, and must not
// end: services restart xenconsoled was seen to kill the shell that it was typed in.
func TestRunKeepsItsThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("programs on a console start in /root")
	}
	keyboard, name := terminal(t)
	ended := make(chan error, 1)
	go func() {
		_, err := Run(name, "above\n", "/bin/sh", "-c", "echo runs; read line; test $line = end")
		ended <- err
	}()
	if shown := readUntil(t, keyboard, "runs\r\n"); shown != "above\nruns\n" {
		t.Errorf("the terminal shows %q", shown)
	}
	buffer := make([]byte, 1<<20)
	stacks := string(buffer[:runtime.Stack(buffer, true)])
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		head, _, _ := strings.Cut(stack, "\n") // goroutine 7 [syscall, locked to thread]:
		if strings.Contains(stack, "console.Run(") && !strings.Contains(head, "locked to thread") {
			t.Error(stack)
		}
	}
	if _, err := keyboard.WriteString("end\r"); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunWithoutATerminal(t *testing.T) {
	if opened, err := Run("no such terminal", "", "/bin/true"); opened || err == nil {
		t.Errorf("Run = %v, %v", opened, err)
	}
}
