// Judges pages: html-validate on their HTML, csp_evaluator on their policies. It reads
// [{name, html, policy}] on stdin and prints [{name, fault}].
import { text } from 'node:stream/consumers';
import { HtmlValidate, StaticConfigLoader } from 'html-validate';
import { CspEvaluator } from 'csp_evaluator/dist/evaluator.js';
import { CspParser } from 'csp_evaluator/dist/parser.js';
import { Severity } from 'csp_evaluator/dist/finding.js';

// What HTML's standard demands, what accessibility does, and how documents hang together.
const htmlvalidate = new HtmlValidate(new StaticConfigLoader({
  root: true,
  extends: ['html-validate:standard', 'html-validate:a11y', 'html-validate:document'],
  rules: {
    'require-sri': ['error', { target: 'crossorigin' }], // what is of the same origin changes with the page
    'no-redundant-for': 'off', // some voice controls want it where the label is around its input, too
  },
}));

const faults = [];
for (const { name, html, policy } of JSON.parse(await text(process.stdin))) {
  const report = await htmlvalidate.validateString(html, name);
  for (const m of report.results.flatMap((r) => r.messages)) {
    faults.push({ name, fault: `html-validate: ${m.line}:${m.column} ${m.ruleId}: ${m.message}` });
  }
  for (const f of new CspEvaluator(new CspParser(policy).csp).evaluate()) {
    if (f.severity < Severity.MEDIUM_MAYBE) faults.push({ name, fault: `csp_evaluator: ${f.directive} ${f.value ?? ''}: ${f.description}` });
  }
}
console.log(JSON.stringify(faults));
