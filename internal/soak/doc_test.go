// Package soak runs one real server under everything that clients do, well and badly, for as long as one likes, and then looks whether anything is
// left of it: memory, descriptors, goroutines, entries of tables, errors in the log.
//
//	TestSoak ── turnpike serve, on loopback, with a certificate
//	   ├─ lives       sessions: tickets, rooms, calls, kicks, relays, broken connections, resumes, goodbyes
//	   ├─ strangers   connections that say half of something, or nonsense
//	   └─ operator    certificates that change
//
// What happens is drawn from a seed, which a failure prints. TURNPIKE_SOAK_SEED draws the same again, as far as clocks and the network let it.
package soak
