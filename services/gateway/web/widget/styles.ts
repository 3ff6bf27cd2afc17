/** The shadow root's style sheet. Host pages adapt it by the --fleetdesk-… variables only. */
export const CSS = `
:host{all:initial;position:fixed;inset:auto 0 0 auto;width:0;height:0;z-index:2147483000}
*,*::before,*::after{box-sizing:border-box}
[hidden]{display:none!important}
.root{
--a:var(--fleetdesk-accent,#1f5fa8);--oa:var(--fleetdesk-on-accent,#fff);
--s:var(--fleetdesk-surface,#fff);--t:var(--fleetdesk-text,#1b1f27);--m:var(--fleetdesk-muted,#596070);
--l:var(--fleetdesk-line,#dfe2e7);--r:var(--fleetdesk-radius,14px);--bad:#b3261e;
--b:color-mix(in srgb,var(--t) 5%,var(--s));
font:400 15px/1.5 var(--fleetdesk-font,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif);
color:var(--t);text-align:start;-webkit-font-smoothing:antialiased}
.root.dark{
--a:var(--fleetdesk-accent,#8fc1fb);--oa:var(--fleetdesk-on-accent,#0c1b2e);
--s:var(--fleetdesk-surface,#191c22);--t:var(--fleetdesk-text,#e8eaee);--m:var(--fleetdesk-muted,#a5acb8);
--l:var(--fleetdesk-line,#363b45);--bad:#ffb4ab}
button,textarea{font:inherit;color:inherit;margin:0}
button{cursor:pointer;border:0;background:none;padding:0}
button:disabled{cursor:default;opacity:.5}
:focus-visible{outline:2px solid var(--a);outline-offset:2px}
svg{width:20px;height:20px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round;flex:none;display:block}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.bubble{position:fixed;inset-block-end:20px;inset-inline-end:20px;display:grid;place-items:center;width:56px;height:56px;border-radius:50%;background:var(--a);color:var(--oa);box-shadow:0 6px 24px -6px #0006;transition:transform .15s}
.bubble:hover{transform:scale(1.04)}
.bubble:focus-visible{outline-offset:3px}
.bubble svg{width:26px;height:26px}
.left .bubble{inset-inline:20px auto}
.panel{position:fixed;inset-block-end:88px;inset-inline-end:20px;display:flex;flex-direction:column;width:min(400px,calc(100vw - 40px));height:min(640px,calc(100vh - 108px));height:min(640px,calc(100dvh - 108px));overflow:hidden;border:1px solid var(--l);border-radius:var(--r);background:var(--s);box-shadow:0 16px 56px -16px #0007;animation:in .16s ease-out}
.left .panel{inset-inline:20px auto}
@keyframes in{from{opacity:0;transform:translateY(8px)}}
.top{display:flex;align-items:center;gap:8px;padding:10px 10px 10px 16px;padding-inline:16px 10px;border-block-end:1px solid var(--l)}
.top div{flex:1;min-width:6.5em}
.top h2{margin:0;font-size:15px;font-weight:600;line-height:1.25;overflow:hidden;display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow-wrap:anywhere}
.top p{margin:0;color:var(--m);font-size:12.5px;line-height:1.3}
.square{display:grid;place-items:center;width:36px;height:36px;border-radius:9px;color:var(--m)}
.square:hover{background:var(--b);color:var(--t)}
.person{display:flex;align-items:center;gap:6px;padding:7px 10px;border:1px solid var(--l);border-radius:9px;font-size:13px;font-weight:500;line-height:1.2;text-align:start}
.person:hover:not(:disabled){background:var(--b)}
.person svg{width:16px;height:16px}
.log{flex:1;overflow-y:auto;overscroll-behavior:contain;padding:16px;display:flex;flex-direction:column;gap:14px}
.log:focus-visible{outline-offset:-3px}
.log>*{flex:none}
.note{margin:0;color:var(--m);font-size:13px;text-wrap:pretty}
.asks{display:flex;flex-direction:column;align-items:flex-start;gap:8px;margin:0;padding:0;list-style:none}
.asks button{padding:7px 12px;border:1px solid var(--l);border-radius:10px;text-align:start;font-size:14px}
.asks button:hover{background:var(--b);border-color:var(--m)}
.share{display:grid;gap:8px;padding:8px 16px}
.share>button{justify-self:start}
.share .line{padding:0}
.share .line:empty{display:none}
.ask,.bar{padding:10px 12px;border:1px solid var(--l);border-radius:10px;background:var(--b);font-size:13.5px}
.ask p{margin:0 0 8px}
.row{display:flex;flex-wrap:wrap;gap:8px}
.main{padding:7px 12px;border-radius:9px;background:var(--a);color:var(--oa);font-size:13px;font-weight:500;line-height:1.2}
.bar{display:flex;align-items:center;justify-content:space-between;gap:8px;border-color:var(--a)}
.bar button{flex:none;white-space:nowrap}
.msg{max-width:100%;overflow-wrap:anywhere}
.msg.visitor{align-self:flex-end;max-width:85%;padding:8px 12px;border-radius:14px 14px 4px 14px;background:var(--b);white-space:pre-wrap}
[dir=rtl] .msg.visitor{border-radius:14px 14px 14px 4px}
.msg.sending{outline:1px dashed;outline-offset:-4px}
.msg .by{margin:0 0 2px;color:var(--m);font-size:12.5px;font-weight:500}
.msg .body>*{margin:0 0 .55em}
.msg .body>:last-child{margin-block-end:0}
.msg ul,.msg ol{padding-inline-start:1.4em}
.msg li+li{margin-block-start:.2em}
.msg a,.source a{color:var(--a)}
.msg blockquote{margin-inline:0;padding-inline-start:10px;border-inline-start:2px solid var(--l);color:var(--m)}
.msg pre{overflow-x:auto;padding:8px 10px;border-radius:8px;background:var(--b);font-size:13px;direction:ltr;text-align:left}
.msg code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.9em}
.cite{display:inline-grid;place-items:center;min-width:24px;height:24px;margin-inline:2px;padding-inline:4px;border-radius:6px;background:color-mix(in srgb,var(--a) 14%,var(--s));color:var(--a);font-size:12px;font-weight:600;line-height:1;vertical-align:1px}
.cite:hover{background:color-mix(in srgb,var(--a) 26%,var(--s))}
.dots{display:inline-flex;gap:4px;padding-block:8px}
.dots i{width:6px;height:6px;border-radius:50%;background:var(--m);animation:dot 1.2s infinite}
.dots i:nth-child(2){animation-delay:.15s}.dots i:nth-child(3){animation-delay:.3s}
@keyframes dot{0%,60%,100%{opacity:.3}30%{opacity:1}}
.foot{display:flex;align-items:center;gap:2px;margin-block-start:4px;color:var(--m);font-size:13px}
.foot button{display:grid;place-items:center;width:30px;height:30px;border-radius:8px}
.foot button:hover{background:var(--b);color:var(--t)}
.foot button[aria-pressed=true]{color:var(--a)}
.foot button[aria-pressed=true] svg{fill:color-mix(in srgb,var(--a) 25%,transparent)}
.foot svg{width:17px;height:17px}
.error{display:flex;align-items:center;gap:10px;margin:0 12px 8px;padding:8px 12px;border:1px solid var(--l);border-inline-start:3px solid var(--bad);border-radius:9px;font-size:13.5px}
.error span{flex:1}
.error button{padding:5px 10px;border:1px solid var(--l);border-radius:8px;font-weight:500}
.error button:hover{background:var(--b)}
.line{margin:0;padding:0 16px 6px;color:var(--m);font-size:13px}
.box{display:flex;align-items:flex-end;gap:8px;margin:0 12px;padding:6px 6px 6px 12px;padding-inline:12px 6px;border:1px solid var(--m);border-radius:12px}
.box:focus-within{border-color:var(--a);outline:1px solid var(--a)}
.box textarea{flex:1;min-width:0;max-height:130px;padding:6px 0;border:0;background:none;resize:none;outline:0;field-sizing:content;font-size:15px}
.box textarea::placeholder{color:var(--m);opacity:1}
.box button{display:grid;place-items:center;width:36px;height:36px;border-radius:9px;background:var(--a);color:var(--oa)}
.box button:disabled{background:var(--b);color:var(--m);opacity:1}
.end{display:flex;justify-content:space-between;gap:12px;margin:0;padding:8px 16px 10px;color:var(--m);font-size:12px;line-height:1.4}
.end button{text-decoration:underline;text-underline-offset:2px;min-height:24px;flex:none;align-self:flex-start}
.source{position:absolute;inset:0;display:flex;flex-direction:column;background:var(--s);animation:in .14s ease-out}
.source .top h3{margin:0;font-size:15px;font-weight:600;line-height:1.3}
.source .text{flex:1;overflow-y:auto;padding:16px}
.source blockquote{margin:0 0 14px;padding:2px 0 2px 14px;padding-inline:14px 0;border-inline-start:3px solid var(--a);white-space:pre-line;overflow-wrap:anywhere}
@media (max-width:480px){
.panel,.left .panel{inset:0;width:100%;height:100%;height:var(--h,100dvh);border:0;border-radius:0}
.open .bubble{display:none}
.box textarea{font-size:16px}
}
@media (prefers-reduced-motion:reduce){*,*::before,*::after{animation:none!important;transition:none!important}}
@media (forced-colors:active){.bubble,.panel,.box button{border:1px solid}}
@media print{.root{display:none}}
`;

/** Puts the sheet into a shadow root without a <style> element, so that no CSP minds. */
export function applyStyles(root: ShadowRoot, nonce: string): void {
  if ("adoptedStyleSheets" in root && "replaceSync" in CSSStyleSheet.prototype) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    return;
  }
  // Browsers before 2023: an element, with the nonce that the script tag was given.
  const style = document.createElement("style");
  style.nonce = nonce;
  style.textContent = CSS;
  (root as ShadowRoot).append(style);
}
