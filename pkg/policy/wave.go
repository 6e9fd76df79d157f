package policy

// Waves is waves.yaml.
type Waves struct {
	Default Mode    `key:"default,required" doc:"how far applications go that no wave selects"`
	Waves   []Wave  `key:"waves" doc:"in order; the first that selects an application decides"`
	Pause   []Pause `key:"pause" doc:"regions whose data flow is not cleared: nothing about them leaves, nothing is lost"`
}

// Mode is how far a wave goes.
type Mode string

// Choices implements strict.Closed.
func (Mode) Choices() []string { return []string{"off", "observe", "shadow", "write"} }

// Wave selects applications.
type Wave struct {
	Name    string   `key:"name,required" doc:"what it is called in decisions"`
	For     Selector `key:"for" doc:"the applications it selects; left out: all"`
	Percent int      `key:"percent,required" doc:"how many of them, by a stable hash of the application id"`
	Mode    Mode     `key:"mode,required" doc:"off, observe, shadow or write"`
	Running *bool    `key:"running" doc:"whether applications that were there before take part; the default is true"`
	Why     string   `key:"why" doc:"why"`
}

// Pause stops what leaves a region.
type Pause struct {
	Region string `key:"region,required" doc:"the region"`
	By     string `key:"by,required" doc:"who decided it"`
	Why    string `key:"why,required" doc:"why"`
	Since  Date   `key:"since,required" doc:"since when"`
}
