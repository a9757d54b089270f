# ruff: noqa
# fmt: off
# The prototype of assets/decision/shift.py as it was handed over, unchanged: test_shift.py compares with it.
"""Has behavior shifted?  Sequential test over daily yes/no counts, readable at every tick, forever.  See README.md for the formulas.

evidence(counts, know, cfg): counts = {event: (n, S)}, arrays (days, topics); the first cfg['ref'] days are the reference.
Pure function of its arguments (no state, no randomness): the same snapshot gives the same bits.
Returns M (one value per monitored day), the share of every event, and the threshold c.  Trigger: M >= c."""
import numpy as np

sig = lambda x: 1/(1+np.exp(-x))
lgt = lambda p: np.log(p/(1-p))
CFG = dict(alpha=.05, horizon=365, ref=28, pseudo=4., nodes=21, dow_sd=.3, step=2, block=28, ceiling=.35,
           lam_min=.004,                                          # no stream is assumed steadier than this (logit^2 day)
           leak=(0., .15), dead=.03,                              # share of knowledge failures that may be booked as behavior; dead zone
           spread=((1., .6), (.25, .2), (None, .2)),              # (q, weight): each topic moves with probability q; None = 1/topics
           # event: (weight, sizes on the logit scale, their weights); a nat of weight costs a small shift weeks and a large one hours
           events=dict(fail=(.5, (.3, .5, .8, 1.3), (.5, .25, .15, .1)), schema=(.15, (.4, .8, 1.6), (.5, .3, .2)),
                       style=(.15, (-1., -.4, .4, 1.), (.2, .3, .3, .2)), edit=(.1, (.4, .8, 1.6), (.5, .3, .2))), new_task=.1)
S_GRID = np.array([0., .03, .06, .1, .15, .22, .33]); S_PRIOR = np.array([.7, .05, .05, .05, .05, .05, .05]); PHI = np.array([0., .3, .6, .8]); P_PHI = np.array([.4, .25, .25, .1])

def day_loglik(r, I, dow, dow_sd):
    """log marginal likelihood of one block of daily residual logits r/I under y_d = mean + weekday + AR(1) day effect + noise,
    mean free, for every (s, phi) of the grid.  A free mean per block: a level shift spoils one block at most."""
    ok = I > 1e-9
    if ok.sum() < 8: return np.zeros((len(S_GRID), len(PHI)))
    y = r[ok]/I[ok]; d = np.flatnonzero(ok); lag = np.abs(d[:, None]-d[None]); w = dow[ok]
    B = np.diag(1/I[ok]) + dow_sd**2*(w[:, None] == w[None]) + 100.
    A = np.where(lag == 0, 1., PHI[:, None, None]**lag)           # AR(1) correlations
    L = np.linalg.cholesky(B + (S_GRID**2)[:, None, None, None]*A[None]); e = np.linalg.solve(L, np.broadcast_to(y[:, None], L.shape[:-1]+(1,)))[..., 0]
    return -.5*(e*e).sum(-1) - np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(-1)

def contract(n, S, cfg):
    """Frozen at release, from the reference days only: topic baselines, their uncertainty, weekday offsets, day-effect belief."""
    D0 = cfg['ref']; n, S = n[:D0], S[:D0]; dow = np.arange(D0) % 7; rn, rS = n.sum(0), S.sum(0)
    g = np.clip((rS.sum()+.5)/(rn.sum()+1), 1e-3, 1-1e-3); m = (rS+cfg['pseudo']*g)/(rn+cfg['pseudo']); l = lgt(m)
    p = np.broadcast_to(m, n.shape); ll = day_loglik((S-n*p).sum(1), (n*p*(1-p)).sum(1), dow, cfg['dow_sd'])
    off = np.zeros(7)
    for _ in range(3):                                            # ridge weekday offsets, day information discounted as below
        p = sig(l+off[dow][:, None]); I = (n*p*(1-p)).sum(1); t = 1/(1+long_run(ll, cfg)*I); R = t*(S-n*p).sum(1)
        for k in range(7): i = dow == k; off[k] += (R[i].sum()-off[k]/cfg['dow_sd']**2)/((t*I)[i].sum()+1/cfg['dow_sd']**2)
        off -= off.mean()
    se = 1/np.sqrt((t[:, None]*n*p*(1-p)).sum(0)+cfg['pseudo']*m*(1-m))
    return dict(l=l, off=off, se=se, known=rn >= 5, ll=ll)

def long_run(ll, cfg):
    """Belief about the long-run variance of the day effect, s^2 (1+phi)/(1-phi): its posterior mean, and one posterior sd more
    once day effects are beyond doubt (an underestimate then costs false triggers, an overestimate only days)."""
    w = np.exp(ll-ll.max())*S_PRIOR[:, None]*P_PHI; w /= w.sum(); v = (S_GRID**2)[:, None]*((1+PHI)/(1-PHI)); m = (w*v).sum()
    return max(m + (np.sqrt((w*(v-m)**2).sum()) if w[0].sum() < .05 else 0.), cfg['lam_min'])

def discount(n, S, C, cfg):
    """tau_d = 1/(1 + lambda I_d): a day can never weigh more than 1/lambda.  lambda is updated after each finished block (predictable)."""
    p = sig(C['l']); p = np.where(C['known'], p, 0.); D0 = cfg['ref']; I = (n*p*(1-p)).sum(1); r = ((S-n*p)*C['known']).sum(1)
    tau = np.ones(len(n)); ll = C['ll'].copy(); lams = []
    for a in range(D0, len(n), cfg['block']):
        b = min(a+cfg['block'], len(n)); lam = long_run(ll, cfg); tau[a:b] = 1/(1+lam*I[a:b]); lams.append(lam)
        ll = ll + day_loglik(r[a:b], I[a:b], np.arange(a, b) % 7, cfg['dow_sd'])
    return tau, lams

def knowledge_excess(n, K, D0, dead):
    """Rise of the measured knowledge-failure rate above its reference, by more than a dead zone, per day x topic
    (14-day mean, shrunk to all topics), never negative."""
    h = 14; c = lambda x: np.cumsum(np.vstack([np.zeros((h, x.shape[1])), x]), 0); w = lambda x: c(x)[h:]-c(x)[:-h]
    a, K7 = w(n), w(K); g = (K7.sum(1)+.5)/(a.sum(1)+10); k = (K7+40*g[:, None])/(a+40)
    rn, rK = n[:D0].sum(0), K[:D0].sum(0); g = rK.sum()/max(rn.sum(), 1); return np.maximum(k-(rK+40*g)/(rn+40)-dead, 0)

def event_evidence(n, S, thetas, wts, cfg, excess=None, leak=0., C=None):
    """sum over starts, mean over sizes and subsets of topics, of the Bayes factor 'moved' : 'did not move'."""
    D0 = cfg['ref']; D = len(n); T = D-D0; C = C or contract(n, S, cfg); tau, _ = discount(n, S, C, cfg)
    zs = np.flatnonzero(C['known']); js = np.arange(0, T, cfg['step']); E = np.zeros(T)
    if not len(zs): return E
    x = np.linspace(-3, 3, cfg['nodes']); lw = -x*x/2; lw -= np.log(np.exp(lw).sum())
    b0 = C['l'][zs][:, None, None] + C['off'][np.arange(D0, D) % 7][None, :, None] + (C['se'][zs][:, None]*x)[:, None, :]
    if leak: q = sig(b0); b0 = lgt(np.minimum(q+leak/(1-leak)*excess[D0:, zs].T[:, :, None]*(1-q), 1-1e-9))
    nn, SS = (tau[:, None]*n)[D0:, zs].T[:, :, None], (tau[:, None]*S)[D0:, zs].T[:, :, None]
    cum = lambda b: np.concatenate([np.zeros((len(zs), 1, len(x))), np.cumsum(SS*b-nn*np.logaddexp(0, b), 1)], 1)
    C0 = cum(b0); q = lw+C0[:, 1:]; mx = q.max(2); den = mx+np.log(np.exp(q-mx[:, :, None]).sum(2))
    cuts = [k for k in range(0, len(js), 32)]
    for th, v in zip(thetas, wts):
        Ch = cum(b0+th); R = C0-Ch
        for k in cuts:                                            # only starts <= day
            j = js[k:k+32]; a = j[0]; mid = R[:, j[len(j)//2]][:, None]   # centring on a start of the chunk: nothing underflows at any volume
            P = lw+R[:, j]-mid; Q = Ch[:, a+1:]+mid; pm, qm = P.max(2), Q.max(2)
            with np.errstate(divide='ignore'):
                L = np.log(np.exp(Q-qm[:, :, None])@np.exp(P-pm[:, :, None]).transpose(0, 2, 1)) + (qm-den[:, a:])[:, :, None] + pm[:, None, :]   # (topic, day, start)
            W = np.arange(a, T)[:, None] >= j; B = 0.
            for sp, wt in cfg['spread']:
                sp = 1/len(zs) if sp is None else sp
                F = L.sum(0) if sp == 1 else np.logaddexp(np.log1p(-sp), np.log(sp)+L).sum(0)
                B = B + wt*(v if sp == 1 else 1/len(thetas))*np.exp(np.clip(F, -700, 500))   # only a large shift of few topics can be found: even sizes
            E[a:] += (W*B).sum(1)
    return cfg['step']*E

def new_task_evidence(n, S, cfg):
    """Topics without a contract: plain Shiryaev-Roberts test of 'failure rate <= declared ceiling'."""
    D0 = cfg['ref']; new = n[:D0].sum(0) < 5; b = cfg['ceiling']; h = np.array([.5, 1.]); q = sig(lgt(b)+h); M = np.zeros(2); out = []
    for s, m in zip(S[D0:, new].sum(1), n[D0:, new].sum(1)):
        M = np.minimum((M+1)*np.exp(s*np.log(q/b)+(m-s)*np.log((1-q)/(1-b))), 1e200); out.append(M.mean())
    return np.array(out)

def label_watch(n, S, cfg=CFG):
    """Has the share of interactions that get a label moved?  Its own test, its own alpha; never part of the shift evidence."""
    return event_evidence(n, S, (-.6, -.25, .25, .6), (.2, .3, .3, .2), cfg)

def evidence(counts, know=None, cfg=CFG):
    """know = (n, K): labelled rows and knowledge failures per day x topic.  fail counts only what no admissible leak explains."""
    c = cfg['horizon']/cfg['alpha']; rec = {}
    for k, (w, th, v) in cfg['events'].items():
        if k not in counts: continue
        n, S = counts[k]; E = event_evidence(n, S, th, v, cfg)
        if k == 'fail' and know is not None:                      # the verdict must hold for every admissible leak
            X = knowledge_excess(*know, cfg['ref'], cfg['dead'])
            for lk in cfg['leak'][1:]: E = np.minimum(E, event_evidence(n, S, th, v, cfg, X, lk))
        rec[k] = w*E
    rec['new_task'] = cfg['new_task']*new_task_evidence(*counts['fail'], cfg)
    return sum(rec.values()), rec, c

def calibrate(counts, cfg=CFG, sims=200, seed=0):
    """Optional, once per release: kappa such that M >= kappa*c has probability alpha under this contract's own null
    (baselines and weekday offsets as estimated, the reference redrawn too, day effects drawn from the contract's belief)."""
    r = np.random.default_rng(seed); D0 = cfg['ref']; T = cfg['horizon']; top = []
    Cs = {k: contract(n, S, cfg) for k, (n, S) in counts.items() if k in cfg['events']}
    for _ in range(sims):
        day = np.concatenate([np.arange(D0), (np.arange(D0, D0+T) % 7) + 7*r.integers(0, D0//7, T)]); sim = {}
        for k, C in Cs.items():
            w = (np.exp(C['ll']-C['ll'].max())*S_PRIOR[:, None]*P_PHI).ravel(); a, b = divmod(r.choice(w.size, p=w/w.sum()), len(PHI))
            e = r.normal(0, 1, D0+T)
            for d in range(1, D0+T): e[d] = PHI[b]*e[d-1]+np.sqrt(1-PHI[b]**2)*e[d]
            n = counts[k][0][day].astype(int); sim[k] = (n.astype(float), r.binomial(n, sig(C['l']+C['off'][day % 7][:, None]+S_GRID[a]*e[:, None])).astype(float))
        M, _, c = evidence(sim, None, cfg); top.append(M.max()/c)
    return float(np.clip(np.quantile(top, 1-cfg['alpha']), .2, 1.))
