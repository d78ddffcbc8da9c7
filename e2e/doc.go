// Package e2e shows the whole program at work with real parts: the built
// binary, a real Chromium and real web applications. It is a module of its own,
// so that the browser driver is no dependency of the gateway.
//
// Where a real part is not installed, a test is skipped aloud; with CI=true in
// the environment that is a failure. Pictures of the pages land in screenshots/.
package e2e
