// Package bench measures Concord against the cluster it runs on: throughput beside a copy that decodes nothing, latency,
// growth with the number of applications, restart, and what the sinks make of what they are given.
//
// Whatever is measured runs as a process of its own, the same binary in the same role as in a deployment, so that its
// CPU time and memory are its own. The parts need a cluster for themselves: they create Concord's topics, and delete them.
package bench
