package generate

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Runbook is a beginning of a service's runbook, a section for each alert. What
// only its owner knows is a line that asks for it.
func Runbook(api *model.API, o Options) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nOwner: who?\nDependencies: which?\nRoll back by: how?\n", o.Service)
	for _, section := range sections(o) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n\nWhat it means for users: what?\nWhat helps: what?\n", section.alert, section.says, section.look)
	}
	b.WriteString("\n## Operations\n\n| operation | request | answers | errors | 99 % within |\n| --- | --- | --- | --- | --- |\n")
	for _, op := range api.Operations {
		share, latency := op.Objective.ErrorShare, op.Objective.Latency
		if share == 0 {
			share = o.ErrorShare
		}
		if latency == 0 {
			latency = o.Latency
		}
		note := ""
		if op.Deprecated {
			note = " (deprecated)"
		}
		fmt.Fprintf(&b, "| %s%s | %s %s | %s | %s | %v |\n", cell(op.ID), note, op.Method, cell(op.Path),
			strings.Join(slices.Sorted(maps.Keys(op.Responses)), " "), percent(share), latency)
	}
	return b.Bytes()
}

type section struct{ alert, says, look string }

// sections are one for each alert.
func sections(o Options) []section {
	all := []section{
		{
			"OpenAPIErrors", "An operation answers too many requests with a status of 500 or above.",
			"sum by (operation, code) (rate(openapi_requests_total" + o.selector(`code=~"`+serverErrors+`"`) + "[5m])) > 0",
		},
		{
			"OpenAPISlow", "One of a hundred requests for an operation takes too long.",
			"topk(5, job_service_operation:openapi_request_duration_seconds:p99_rate5m" + o.selector() + ")",
		},
		{
			"OpenAPIContractBroken", "What an operation answers is not what the document promises. With --log.level debug the exporter says where.",
			"sum by (operation, check) (increase(openapi_contract_violations_total" + o.selector() + "[1h])) > 0",
		},
	}
	if o.ProbedOnly {
		all = nil
	}
	all = append(all, section{
		"OpenAPIDocumentNotLoaded", "The document was changed to one that cannot be read: openapi_exporter check says why.",
		"openapi_document_info" + o.selector(),
	})
	if o.Probe {
		all = append(all, section{
			"OpenAPIProbeFails", "An operation does not answer as the document says when it is asked with the document's example. /probe of the exporter with debug=true says what is wrong.",
			"openapi_probe_operation_failed" + o.selector(),
		}, section{
			"OpenAPICertificateEnds", "A certificate that the service shows ends within two weeks.",
			"(openapi_probe_ssl_earliest_cert_expiry" + o.selector() + " - time()) / 86400",
		})
	}
	if o.Values {
		all = append(all, section{
			"OpenAPIValuesDropped", "Something in the answers that should be a metric is not: it is above a limit of the config, or not what its annotation says.",
			"sum by (reason) (increase(openapi_values_dropped_total" + o.selector() + "[1h])) > 0",
		})
	}
	return all
}

// cell is a document's word in a table of Markdown.
func cell(s string) string {
	return "`" + strings.NewReplacer("|", `\|`, "`", "'").Replace(model.Label(s)) + "`"
}
