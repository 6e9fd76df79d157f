package topics

import (
	"testing"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/schemas"
)

// The packages that know a topic by name must mean the same topics.
func TestTableAgreesWithTheContract(t *testing.T) {
	t.Parallel()
	kinds := map[string]Kind{}
	for _, topic := range Table() {
		if _, twice := kinds[topic.Name]; twice {
			t.Errorf("%s is in the table twice", topic.Name)
		}
		kinds[topic.Name] = topic.Kind
	}
	for _, topic := range schemas.Topics() {
		if _, ok := kinds[topic.Name]; !ok {
			t.Errorf("%s has a schema and is not in the table", topic.Name)
		}
		if topic.DeadLetters && kinds[DeadLetter(topic.Name)] != Letters {
			t.Errorf("%s has no topic for its dead letters", topic.Name)
		}
	}
	for _, source := range Sources() {
		if _, ok := kinds[source]; !ok {
			t.Errorf("dead letters of %s, which is not in the table", source)
		}
		if got := deadletter.Topic(source); got != DeadLetter(source) {
			t.Errorf("dead letters of %s go to %s, not to %s", source, got, DeadLetter(source))
		}
	}
	if _, ok := kinds[deadletter.DispositionsTopic]; !ok {
		t.Errorf("%s is not in the table", deadletter.DispositionsTopic)
	}
}

// A record that its source topic accepts must fit into its dead-letter topic with the headers added.
func TestDeadLettersHaveRoom(t *testing.T) {
	t.Parallel()
	size := map[string]int{}
	for _, topic := range Table() {
		size[topic.Name] = topic.MaxRecord
	}
	for _, source := range Sources() {
		if size[DeadLetter(source)] < size[source]+1024 {
			t.Errorf("%s takes %d bytes, its dead letters only %d", source, size[source], size[DeadLetter(source)])
		}
	}
}
