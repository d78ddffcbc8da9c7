// Has Lighthouse look at pages for accessibility and best practices. It reads {chromium, flags,
// pages: [{name, url, cookies}]} on stdin and prints [{name, scores, lost}].
import { text } from 'node:stream/consumers';
import { launch } from 'chrome-launcher';
import lighthouse from 'lighthouse';
import puppeteer from 'puppeteer-core';

const { chromium, flags, pages } = JSON.parse(await text(process.stdin));
const chrome = await launch({ chromePath: chromium, chromeFlags: flags, logLevel: 'silent' });
const browser = await puppeteer.connect({ browserURL: `http://127.0.0.1:${chrome.port}`, defaultViewport: null });
const results = [];

// Chromium logs the status of a page that is an error. Such a page must have it.
const isOwnStatus = (item, url) => item.source === 'network' && item.sourceLocation?.url === url &&
  /^Failed to load resource: the server responded with a status of [45]\d\d /.test(item.description);

try {
  for (const { name, url, cookies = [] } of pages) {
    const page = await browser.newPage();
    await page.setCookie(...cookies.map((c) => ({ ...c, url, path: '/', secure: true, httpOnly: true })));
    const run = await lighthouse(url, {
      output: 'json', logLevel: 'silent',
      onlyCategories: ['accessibility', 'best-practices'],
      ignoreStatusCode: true, // the pages of errors are pages
      throttlingMethod: 'simulate', // with any other the waits below are 5 s at least
      // Nothing moves on these pages once they are there.
      pauseAfterFcpMs: 0, pauseAfterLoadMs: 0, networkQuietThresholdMs: 0, cpuQuietThresholdMs: 0,
      disableFullPageScreenshot: true,
      disableStorageReset: cookies.length > 0,
    }, undefined, page);
    const { categories, audits, runtimeError, finalDisplayedUrl } = run.lhr;
    results.push({
      name, url: finalDisplayedUrl, error: runtimeError?.message ?? '',
      scores: Object.fromEntries(Object.values(categories).map((c) => [c.id, c.score])),
      lost: Object.values(categories).flatMap((c) => c.auditRefs)
        .filter((ref) => ref.weight > 0 && audits[ref.id].score !== null && audits[ref.id].score < 1)
        .filter((ref) => ref.id !== 'errors-in-console' || !audits[ref.id].details.items.every((item) => isOwnStatus(item, finalDisplayedUrl)))
        .map((ref) => `${ref.id}: ${audits[ref.id].title} ${JSON.stringify(audits[ref.id].details?.items ?? '').slice(0, 400)}`),
    });
  }
} finally {
  await browser.disconnect();
  await chrome.kill();
}
console.log(JSON.stringify(results));
process.exit(0);
