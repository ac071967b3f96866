// A specimen: a tab for each modality, and one cursor. Where it stands in the frame that modalities share, each of
// them that covers the place shows its own values and spectrum.

class Specimen {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.values = [];
    this.explorers = [];
    this.cursors = page.tabs.map(header => header.start.slice());
    this.others = tag("section", {class: "others", "aria-label": "the same place in other modalities"});
    this.views = tag("div", {role: page.tabs.length > 1 ? "tabpanel" : "group"});
    if (page.tabs.length > 1) root.append(this.bar());
    root.append(this.views, this.others);
    if (page.leftOut.length) root.append(tag("p", {class: "note"}, "Not shown: ", tag("bdi", {}, page.leftOut.join("; "))));
    addEventListener("resize", () => this.explorer?.redraw());
    addEventListener("message", event => { if (event.source === parent) this.goTo(event.data?.go); });
  }

  get explorer() {
    return this.explorers[this.active];
  }

  bar() {
    this.tabs = this.page.tabs.map((header, n) => {
      const button = tag("button", {type: "button", role: "tab", "aria-selected": "false"}, tag("bdi", {}, header.title));
      button.onclick = () => this.open(n);
      return button;
    });
    const bar = tag("div", {class: "row tabs", role: "tablist"}, ...this.tabs);
    bar.onkeydown = event => {
      const move = {ArrowLeft: -1, ArrowRight: 1}[event.key], count = this.tabs.length;
      if (!move) return;
      this.open((this.active + move + count) % count);
      this.tabs[this.active].focus();
      event.preventDefault();
      event.stopPropagation();
    };
    return bar;
  }

  async load(n) {
    const header = this.page.tabs[n], planes = {};
    const entries = Object.entries(header.planes);
    await Promise.all(entries.map(async ([name, back]) => { planes[name] = await unpacked(`${n}-${name}`, back); }));
    this.values[n] = new Values(header, planes);
    this.overlays ??= await Promise.all(this.page.overlays.map(async (one, k) => new Float32Array((await unpacked(`overlay-${k}`, one.back)).buffer)));
  }

  async open(n) {
    if (!this.values[n]) await this.load(n);
    this.active = n;
    this.tabs?.forEach((button, k) => button.setAttribute("aria-selected", k === n));
    this.explorers[n] ??= this.explore(n);
    this.explorers.forEach((explorer, k) => { explorer.element.hidden = k !== n; });
    this.explorer.state.at = this.cursors[n].slice();
    this.explorer.redraw();
  }

  explore(n) {
    const values = this.values[n], over = this.page.overlays.flatMap((one, k) => (
      values.header.overlays.includes(k) ? [new Overlay(values, one, this.overlays[k])] : []));
    const explorer = new Explorer(values, over, at => this.moved(at));
    this.views.append(explorer.element);
    return explorer;
  }

  // ---- one cursor

  // what a notebook around the page asks for, if it is a voxel
  goTo(at) {
    if (Array.isArray(at) && at.length === 3 && at.every(Number.isInteger)) this.explorer?.go(at);
  }

  moved(at) {
    const here = this.values[this.active];
    this.cursors[this.active] = at.slice();
    const shown = this.page.tabs.map((header, n) => this.samePlace(here, at, header, n)).filter(Boolean);
    this.others.replaceChildren(...shown);
    if (parent !== window) parent.postMessage({voxel: at, tab: this.active, region: this.explorer.state.region}, "*");
  }

  // The same place in another modality: its name, values and spectrum; nothing where the two share no frame.
  samePlace(here, at, header, n) {
    const there = this.values[n];
    if (n === this.active || !there || !header.frame || header.frame !== here.header.frame) return null;
    if (header.surface && !here.header.flat) return null; // a surface has no plane, and is drawn over the volume itself
    const found = there.voxelAt(here.toFrame(at)), box = tag("div", {class: "other"}, tag("h2", {}, tag("bdi", {}, header.title)));
    // a plane speaks for its depth, or one step of a volume along its normal, and for all of another plane
    const near = here.header.flat || !found || found.off <= Math.max(here.header.step[0], header.depth) / 2;
    const far = found && header.flat && found.off > 0 ? `; its plane lies ${lengthText(found.off, header.unit)} away` : "";
    if (!found || !near) {
      box.append(tag("p", {class: "note"}, found ? `does not reach this place${far}` : "does not cover this place"));
      return box;
    }
    this.cursors[n] = found.at;
    box.append(tag("p", {class: "readout"}, `voxel ${found.at.join(", ")}${far}`, ...amounts(there, found.at)));
    if (header.signal) {
      const plot = tag("div", {class: "spectrum"});
      box.append(plot);
      const spectrum = there.spectrum(there.index(found.at));
      requestAnimationFrame(() => new SpectrumPlot(plot, header).draw(spectrum));
    }
    return box;
  }
}

// ready with the first picture; the other modalities are unpacked while it is looked at
async function start() {
  const root = document.getElementById("explorer");
  try {
    const page = JSON.parse(document.getElementById("header").textContent), specimen = new Specimen(root, page);
    await specimen.open(page.first);
    Object.defineProperty(globalThis, "conspectus", {get: () => specimen.explorer});
    globalThis.specimen = specimen;
    specimen.explorer.draw();
    root.dataset.ready = Math.round(performance.now());
    for (const n of page.tabs.keys()) if (!specimen.values[n]) await specimen.load(n);
    specimen.moved(specimen.explorer.state.at);
    root.dataset.complete = "true";
  } catch (error) {
    root.append(tag("p", {class: "note"}, `This page could not be drawn: ${error.message}`));
    throw error;
  }
}
