// Has Mozilla's HTTP Observatory scan a host, as its own command does. The host is one that
// is only here: connections to ports 80 and 443 go to ports of this machine. It reads
// {host, http, https} on stdin and prints the grade, and what was not passed or cost anything.
import net from 'node:net';
import { text } from 'node:stream/consumers';

const { host, http, https } = JSON.parse(await text(process.stdin));
const ports = { 80: http, 443: https };
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (ports[options?.port]) Object.assign(options, { host: '127.0.0.1', port: ports[options.port] });
  return connect.apply(this, args);
};

const { scan } = await import('@mdn/mdn-http-observatory');
const result = await scan(host);
console.log(JSON.stringify({
  grade: result.scan.grade,
  score: result.scan.score,
  status: result.scan.statusCode,
  tests: result.scan.testsQuantity,
  lost: Object.entries(result.tests).filter(([, t]) => !t.pass || t.scoreModifier < 0).map(([name, t]) => `${name}: ${t.result} (${t.scoreModifier})`),
  found: Object.entries(result.tests).map(([name, t]) => `${name}: ${t.result} (${t.scoreModifier})`),
}));
process.exit(0); // its agents keep connections open
