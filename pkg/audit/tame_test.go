package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a run cannot bring is reached by a test the report names: it must exist.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	tp := cleanTape()
	tp.opt.Fired = 1
	named := 0
	for _, f := range tp.check(t).Fired {
		_, where, ok := strings.Cut(f.Note, ": ")
		if !ok {
			continue
		}
		named++
		folder, test, _ := strings.Cut(where, " ")
		files, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(src), "func "+test+"(")
		}
		if !found {
			t.Errorf("%s %s: there is no %s in %s", f.Kind, f.Name, test, folder)
		}
	}
	if named < 3 {
		t.Errorf("%d kinds name a test, want at least 3", named)
	}
}
