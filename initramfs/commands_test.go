package initramfs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRewriteKey changes, one by one, what the rewritten commands depend on.
func TestRewriteKey(t *testing.T) {
	source := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, compiler := "this", "go1.26.8"
	key := func(commands []string) string {
		t.Helper()
		key, err := rewriteKey(code, compiler, source, commands)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write("go.mod", "module x\n")
	write("go.sum", "")
	seen := map[string]string{}
	fresh := func(what, key string) {
		t.Helper()
		if other, ok := seen[key]; ok {
			t.Errorf("%s: the key is that of %s", what, other)
		}
		seen[key] = what
	}
	fresh("the first", key([]string{"a", "b"}))
	if again := key([]string{"a", "b"}); seen[again] == "" {
		t.Error("the same inputs, another key")
	}
	fresh("another command", key([]string{"a"}))
	write("go.mod", "module x\nreplace a => ./b\n")
	fresh("another go.mod", key([]string{"a", "b"}))
	write("go.sum", "a v1 h1:x\n")
	fresh("another go.sum", key([]string{"a", "b"}))
	compiler = "go1.26.9"
	fresh("another Go", key([]string{"a", "b"}))
	code = "another"
	fresh("another mkiso", key([]string{"a", "b"}))
}
