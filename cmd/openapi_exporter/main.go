// Command openapi_exporter is Prometheus metrics for any web API, from its
// OpenAPI document.
package main

import (
	"os"

	"github.com/tocsin/tocsin/exporters/openapi"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(openapi.Run(os.Args[1:], version, os.Stdout, os.Stderr)) }
