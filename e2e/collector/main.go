// Command collector is the OpenTelemetry Collector, as small as it gets: its OTLP receiver,
// and an exporter that writes each batch as a line of OTLP's JSON to standard output.
//
//	collector config.yaml
package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "collector: want the name of its config")
		os.Exit(2)
	}
	otlp, out := otlpreceiver.NewFactory(), lines()
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Version: "0"},
		Factories: func() (otelcol.Factories, error) {
			return otelcol.Factories{
				Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
				Exporters: map[component.Type]exporter.Factory{out.Type(): out},
				Telemetry: otelconftelemetry.NewFactory(),
			}, nil
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"file:" + os.Args[1]}, ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	})
	if err == nil {
		err = c.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		os.Exit(1)
	}
}

// lines is the exporter.
func lines() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("lines"), func() component.Config { return &struct{}{} },
		exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) {
			var json ptrace.JSONMarshaler
			write := func(_ context.Context, batch ptrace.Traces) error {
				line, err := json.MarshalTraces(batch)
				if err == nil {
					_, err = os.Stdout.Write(append(line, '\n'))
				}
				return err
			}
			traces, err := consumer.NewTraces(write)
			return &writer{Traces: traces}, err
		}, component.StabilityLevelStable))
}

type writer struct {
	component.StartFunc
	component.ShutdownFunc
	consumer.Traces
}
