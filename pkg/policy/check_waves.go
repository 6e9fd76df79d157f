package policy

import (
	"fmt"
	"slices"
)

// waves checks who is live.
func (c *checker) waves() {
	w := &c.p.Waves
	var names, paused []string
	for i, wave := range w.Waves {
		path := fmt.Sprintf("waves[%d]", i)
		if wave.Name != "" && slices.Contains(names, wave.Name) {
			c.fault(WavesFile, path+".name", wave.Name, "is the name of an earlier wave", "give each a name of its own")
		}
		names = append(names, wave.Name)
		c.selector(WavesFile, path+".for", wave.For, "")
		if !c.holds(WavesFile, path) {
			continue
		}
		if wave.Percent < 1 || wave.Percent > 100 {
			c.fault(WavesFile, path+".percent", fmt.Sprint(wave.Percent), "is no share", "give 1 to 100")
		}
		for j, before := range w.Waves[:i] {
			if c.holds(WavesFile, fmt.Sprintf("waves[%d]", j)) && before.Percent >= 100 && (before.Running == nil || *before.Running) && wave.For.within(before.For) {
				c.fault(WavesFile, path, wave.Name, fmt.Sprintf("never decides: waves[%d] (%s) takes all it selects", j, before.Name), "put it before, or remove it")
				break
			}
		}
	}
	for i, pause := range w.Pause {
		path := fmt.Sprintf("pause[%d].region", i)
		c.region(WavesFile, path, pause.Region)
		if pause.Region != "" && slices.Contains(paused, pause.Region) {
			c.fault(WavesFile, path, pause.Region, "is paused already", "keep one")
		}
		paused = append(paused, pause.Region)
	}
}
