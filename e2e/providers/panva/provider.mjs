// An OpenID Provider to test against: panva's certified oidc-provider with
// one-time refresh tokens, reuse detection, PAR, private_key_jwt, back-channel
// and RP-initiated logout. It prints "ready" when it listens and ends at SIGTERM.
//
//   node provider.mjs '{"port": 4000, "clients": [...], "ttl": 5}'
//
// Any name signs in, with any password. Where "acrs" are classes that it knows, whoever
// is asked for one gets the first that was asked for, and a sign-in of another class is
// made anew; "stubborn" never heeds acr_values nor tells a class. With "dpop" it wants a nonce in
// every proof (RFC 9449), of which none is good any more after /test/nonces, and without a resource
// its access tokens are opaque and open userinfo. /test/stats tells what it counted,
// /test/renewals when each renewal came and was answered, and
// /test/delay?ms=3000 has its token endpoint answer late, with the work done.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provider, interactionPolicy } from 'oidc-provider';
import Challenge from 'oidc-provider/lib/helpers/challenge.js'; // for /test/nonces alone: a nonce of
import internals from 'oidc-provider/lib/helpers/weak_cache.js'; // its own is good for minutes

const { port, clients, ttl = 5, par = false, acrs = [], stubborn = false, dpop = false, host = '127.0.0.1', at = port } = JSON.parse(process.argv[2]);
const issuer = `http://${host}:${at}`; // where it is reached, be it through something
const stats = { grants: {}, errors: {}, revoked: 0, refreshing: 0, mostRefreshing: 0, logouts: 0 };
const renewals = []; // of whom, from when to when in ms, and the status of the answer
let delay = 0;

const key = (alg, kid) => ({
  ...generateKeyPairSync(...(alg === 'ES256' ? ['ec', { namedCurve: 'P-256' }] : ['rsa', { modulusLength: 2048 }]))
    .privateKey.export({ format: 'jwk' }), alg, kid, use: 'sig',
});

// What is asked for of what it knows; somebody who is there with less has to sign in.
const wanted = (params) => (params.acr_values ?? '').split(' ').filter((acr) => !stubborn && acrs.includes(acr));
const policy = interactionPolicy.base();
policy.get('login').checks.add(new interactionPolicy.Check('acr_values', 'a stronger sign-in is asked for', ({ oidc }) => {
  const want = wanted(oidc.params);
  return want.length > 0 && !want.includes(oidc.acr);
}));

const provider = new Provider(issuer, {
  clients,
  interactions: { policy },
  ...(acrs.length > 0 ? { acrValues: acrs } : undefined),
  jwks: { keys: [key('RS256', 'rsa-1'), key('ES256', 'ec-1')] },
  cookies: { keys: ['a key of a provider that lives for one test'] },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  claims: { openid: stubborn ? ['sub'] : ['sub', 'acr', 'amr'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  // It refuses to call loopback addresses, and here everything is on loopback.
  fetch: (url, options) => {
    const { dispatcher, ...rest } = options;
    return globalThis.fetch(url, rest);
  },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, name: `${id} of panva`, preferred_username: id, email: `${id}@example.com`, email_verified: true, groups: ['staff'],
    }),
  }),
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    revocation: { enabled: true },
    ...(dpop ? { dPoP: { enabled: true, requireNonce: () => true, nonceSecret: randomBytes(32) } } : undefined),
    introspection: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: par },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => (dpop ? undefined : 'https://default.example.com/'),
      useGrantedResource: () => !dpop,
      getResourceServerInfo: (_, resource) => ({
        scope: 'openid profile email groups offline_access api', audience: resource, accessTokenTTL: ttl, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { AccessToken: ttl, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
});

const count = (of, name) => { of[name] = (of[name] ?? 0) + 1; };
provider.on('grant.success', (ctx) => count(stats.grants, ctx.oidc.params.grant_type));
provider.on('grant.error', (ctx, err) => count(stats.errors, err.error ?? 'unknown'));
provider.on('grant.revoked', () => { stats.revoked += 1; });
provider.on('backchannel.success', () => { stats.logouts += 1; });
provider.on('backchannel.error', (ctx, err) => { console.error('back-channel logout failed:', err); });
provider.on('server_error', (ctx, err) => { console.error(err); });

provider.use(async (ctx, next) => {
  if (ctx.path === '/test/stats') {
    ctx.body = stats;
    return;
  }
  if (ctx.path === '/test/renewals') {
    ctx.body = renewals;
    return;
  }
  if (ctx.path === '/test/nonces') {
    internals(provider).DPoPNonces = new Challenge(randomBytes(32), 'DPoP');
    ctx.body = 'ok';
    return;
  }
  if (ctx.path === '/test/delay') {
    delay = Number(ctx.query.ms);
    ctx.body = 'ok';
    return;
  }
  if (ctx.method === 'POST' && ctx.path.startsWith('/interaction/') && acrs.length > 0) {
    const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name === 'login') { // its own pages know of no classes
      let body = '';
      for await (const part of ctx.req) body += part;
      const [acr] = wanted(params);
      await provider.interactionFinished(ctx.req, ctx.res, {
        login: { accountId: new URLSearchParams(body).get('login'), ...(acr ? { acr, amr: ['pwd', 'otp'] } : { amr: ['pwd'] }) },
      }, { mergeWithLastSubmission: false });
      return;
    }
  }
  if (ctx.path !== '/token') {
    await next();
    return;
  }
  const began = Date.now();
  stats.refreshing += 1;
  stats.mostRefreshing = Math.max(stats.mostRefreshing, stats.refreshing);
  try {
    await next();
    if (delay) await sleep(delay);
  } finally {
    stats.refreshing -= 1;
    if (ctx.oidc?.params?.grant_type === 'refresh_token') {
      renewals.push({ user: ctx.oidc.entities.RefreshToken?.accountId ?? '', began, ended: Date.now(), status: ctx.status });
    }
  }
});

const server = createServer(provider.callback());
server.listen(port, host, () => console.log('ready'));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
