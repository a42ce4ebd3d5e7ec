package vm

// Shell runs a command in the root shell on the serial console and returns what it printed.
func (m *VM) Shell(command string) string {
	m.t.Helper()
	ctx, cancel := m.Within(shellLimit)
	defer cancel()
	out, err := m.Process.Shell(ctx, command)
	if err != nil {
		m.fail("shell: "+command, err)
	}
	return out
}

// Stage2 returns the process id of stage2.
func (m *VM) Stage2() string {
	m.t.Helper()
	ctx, cancel := m.Within(shellLimit)
	defer cancel()
	pid, err := m.Process.Stage2(ctx)
	if err != nil {
		m.fail("find stage2", err)
	}
	return pid
}

// Type types on the serial console; "\r" is the return key.
func (m *VM) Type(text string) {
	m.t.Helper()
	if err := m.Process.Type(text); err != nil {
		m.fail("type "+text, err)
	}
}

// Enter types a command whose output is for somebody else to wait for.
func (m *VM) Enter(line string) {
	m.t.Helper()
	if err := m.Process.Enter(line); err != nil {
		m.fail("type "+line, err)
	}
}
