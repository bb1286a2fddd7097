"use strict";
// Scans of this page, looked through in three planes. What a plane shows is laid as radiologists
// look at it: rows and columns run against the axes (to the feet, the back, the patient's left).
(() => {
  const PLANES = [
    { name: "axial", axis: 0, down: 1, across: 2, letters: "RLAP", towards: "the head" },
    { name: "coronal", axis: 1, down: 0, across: 2, letters: "RLSI", towards: "the front" },
    { name: "sagittal", axis: 2, down: 0, across: 1, letters: "APSI", towards: "the right" },
  ];
  const MARGIN = 18; // CSS pixels for the letters
  const LARGEST = 320; // of the longest edge
  const LENGTHS_MM = [1, 2, 5, 10, 20, 50, 100, 200];
  const NO_CLASS = 255;
  const FONT = "system-ui, sans-serif";

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  async function inflated(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function unpacked(scan) {
    const size = scan.shape[0] * scan.shape[1] * scan.shape[2];
    const [bytes, ...masks] = await Promise.all(
      [scan.values, ...scan.masks.map((mask) => mask.voxels)].map(inflated),
    );
    const levels = new Uint16Array(size);
    for (let i = 0; i < size; i += 1) levels[i] = bytes[i] | (bytes[size + i] << 8);
    return { levels, masks };
  }

  class Viewer {
    constructor(place, scan, kept) {
      Object.assign(this, { place, scan, kept });
      this.point = [...scan.point];
      this.window = [...scan.window];
      this.shown = scan.masks.map(() => true);
      this.opacity = 0.45;
      this.strides = [scan.shape[1] * scan.shape[2], scan.shape[2], 1];
      this.planes = PLANES.map((plane) => this.madePlane(plane));
      this.said = element("p", { class: "plane-said", "aria-live": "off" });
      place.replaceChildren(
        element("div", { class: "planes" }, ...this.planes.map((plane) => plane.figure)),
        this.said,
        this.controls(),
        element("p", { class: "plane-keys" },
          "Click or drag in a plane to move the cross; with Shift, dragging changes width and level. " +
          "In a plane: arrow keys one slice, Page Up and Down ten, Home and End the ends" +
          ["", "; key 1 turns what lies over it on and off", "; keys 1 and 2 turn truth and answer on and off"][
            scan.masks.length] + "."),
      );
      new ResizeObserver(() => this.draw()).observe(place);
      this.draw();
    }

    madePlane(plane) {
      const { scan } = this;
      const size = scan.shape[plane.axis];
      const canvas = element("canvas", {
        tabindex: "0", role: "slider", "aria-orientation": "vertical", "data-plane": plane.name,
        "aria-label": `${plane.name} plane, towards ${plane.towards}`,
        "aria-valuemin": "1", "aria-valuemax": String(size),
      });
      const caption = element("figcaption");
      const made = { ...plane, canvas, caption, figure: element("figure", {}, caption, canvas) };
      const buffer = () => {
        const small = document.createElement("canvas");
        small.width = scan.shape[plane.across];
        small.height = scan.shape[plane.down];
        return small;
      };
      made.grey = buffer();
      made.cover = buffer();
      canvas.addEventListener("keydown", (event) => this.pressed(event, plane));
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.from = event.shiftKey ? { x: event.clientX, y: event.clientY, window: [...this.window] } : null;
        this.pointed(event, made);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (canvas.hasPointerCapture(event.pointerId)) this.pointed(event, made);
      });
      canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== canvas) return; // the page scrolls until a plane is chosen
        event.preventDefault();
        this.move(plane.axis, event.deltaY < 0 ? 1 : -1);
      }, { passive: false });
      return made;
    }

    controls() {
      const { scan } = this;
      const [low, high] = [scan.least, scan.greatest];
      const range = Math.max(high - low, 1e-12);
      const slider = (words, least, most) => {
        const input = element("input", { type: "range", min: least, max: most, step: range / 1000 });
        return [input, element("label", {}, `${words} `, input)];
      };
      const [level, levelLabel] = slider("Level", low, high);
      const [width, widthLabel] = slider("Width", range / 1000, range);
      const changed = () => {
        const [middle, wide] = [Number(level.value), Number(width.value)];
        this.window = [middle - wide / 2, middle + wide / 2];
        this.draw();
      };
      level.addEventListener("input", changed);
      width.addEventListener("input", changed);
      this.windowSet = () => {
        level.value = (this.window[0] + this.window[1]) / 2;
        width.value = this.window[1] - this.window[0];
      };
      this.windowSet();
      const parts = [levelLabel, widthLabel];
      const named = Object.entries({ "as at first": scan.window, ...scan.windows });
      parts.push(...named.map(([words, ends]) => {
        const button = element("button", { type: "button", class: "plane-window" }, words);
        button.addEventListener("click", () => {
          this.window = [...ends];
          this.windowSet();
          this.draw();
        });
        return button;
      }));
      this.boxes = scan.masks.map((mask, index) => {
        const box = element("input", { type: "checkbox" });
        box.checked = true;
        box.addEventListener("change", () => {
          this.shown[index] = box.checked;
          this.draw();
        });
        const how = index ? "filled" : scan.masks.length > 1 ? "outlined" : "filled";
        parts.push(element("label", {}, box, ` ${mask.name} (${how})`));
        return box;
      });
      if (scan.masks.length) {
        const cover = element("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(this.opacity) });
        cover.addEventListener("input", () => {
          this.opacity = Number(cover.value);
          this.draw();
        });
        parts.push(element("label", {}, "Cover ", cover));
      }
      return element("div", { class: "plane-controls" }, ...parts);
    }

    pressed(event, plane) {
      const size = this.scan.shape[plane.axis];
      const steps = {
        ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1,
        PageUp: 10, PageDown: -10, Home: -size, End: size,
      };
      const number = Number(event.key) - 1;
      if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
        this.move(plane.axis, steps[event.key]);
      } else if (number in this.shown && !event.ctrlKey && !event.metaKey && !event.altKey) {
        this.boxes[number].click();
      } else return;
      event.preventDefault();
    }

    move(axis, by) {
      const last = this.scan.shape[axis] - 1;
      this.point[axis] = Math.min(last, Math.max(0, this.point[axis] + by));
      this.draw();
    }

    pointed(event, plane) {
      const { scan } = this;
      if (this.from) {
        const range = scan.greatest - scan.least;
        const [low, high] = this.from.window;
        const wide = Math.max(range / 1000, high - low + ((event.clientX - this.from.x) * range) / 400);
        const middle = (low + high) / 2 + ((this.from.y - event.clientY) * range) / 400;
        this.window = [middle - wide / 2, middle + wide / 2];
        this.windowSet();
        this.draw();
        return;
      }
      const box = plane.canvas.getBoundingClientRect();
      const at = (place, cell, size) =>
        size - 1 - Math.min(size - 1, Math.max(0, Math.floor((place - MARGIN) / cell)));
      this.point[plane.across] = at(event.clientX - box.left, plane.cell[0], scan.shape[plane.across]);
      this.point[plane.down] = at(event.clientY - box.top, plane.cell[1], scan.shape[plane.down]);
      this.draw();
    }

    // The index of the voxel in a row and column of a plane's picture.
    indexer(plane) {
      const { scan, strides, point } = this;
      const [rows, columns] = [scan.shape[plane.down], scan.shape[plane.across]];
      const start = point[plane.axis] * strides[plane.axis];
      return (row, column) =>
        start + (rows - 1 - row) * strides[plane.down] + (columns - 1 - column) * strides[plane.across];
    }

    draw() {
      const { scan } = this;
      const mm = scan.shape.map((size, axis) => size * scan.spacing_mm[axis]);
      const room = Math.max(80, Math.min(LARGEST, this.place.clientWidth / (innerWidth < 700 ? 1 : 3) - 2 * MARGIN - 14));
      const scale = room / Math.max(...mm); // CSS pixels of a millimetre, one for all planes
      for (const plane of this.planes) this.drawPlane(plane, mm, scale);
      this.tell();
    }

    drawPlane(plane, mm, scale) {
      const { scan } = this;
      const [rows, columns] = [scan.shape[plane.down], scan.shape[plane.across]];
      const [width, height] = [mm[plane.across] * scale, mm[plane.down] * scale];
      plane.cell = [width / columns, height / rows];
      const dense = devicePixelRatio || 1;
      const { canvas } = plane;
      const outer = [width + 2 * MARGIN, height + 2 * MARGIN];
      canvas.width = Math.round(outer[0] * dense);
      canvas.height = Math.round(outer[1] * dense);
      canvas.style.width = `${outer[0]}px`;
      canvas.style.height = `${outer[1]}px`;
      const pen = canvas.getContext("2d");
      pen.scale(dense, dense);
      pen.fillStyle = "black";
      pen.fillRect(0, 0, ...outer);
      this.paint(plane, rows, columns);
      pen.imageSmoothingEnabled = true;
      pen.drawImage(plane.grey, MARGIN, MARGIN, width, height);
      pen.imageSmoothingEnabled = false;
      pen.globalAlpha = this.opacity;
      pen.drawImage(plane.cover, MARGIN, MARGIN, width, height);
      pen.globalAlpha = 1;
      if (scan.masks.length > 1 && this.shown[0]) this.outline(pen, plane, rows, columns);
      this.marks(pen, plane, width, height, scale);
      const slice = this.point[plane.axis] + 1;
      const deep = (this.point[plane.axis] * scan.spacing_mm[plane.axis]).toFixed(1);
      const words = `${slice} of ${scan.shape[plane.axis]}, ${deep} mm`;
      canvas.setAttribute("aria-valuenow", String(slice));
      canvas.setAttribute("aria-valuetext", words);
      plane.caption.textContent = `${plane.name}, ${words}`;
    }

    // Grey values and the filled mask, a pixel a voxel.
    paint(plane, rows, columns) {
      const { scan, kept } = this;
      const at = this.indexer(plane);
      const [low, high] = this.window;
      const unit = (scan.greatest - scan.least) / 4095;
      const gain = 255 / Math.max(high - low, 1e-12);
      const filled = scan.masks.length - 1;
      const cover = filled >= 0 && this.shown[filled] ? kept.masks[filled] : null;
      const colours = scan.classes.map((one) => one.colour.match(/\d+/g).map(Number));
      const grey = plane.grey.getContext("2d");
      const over = plane.cover.getContext("2d");
      const greyCells = grey.createImageData(columns, rows);
      const overCells = over.createImageData(columns, rows);
      for (let row = 0, pixel = 0; row < rows; row += 1) {
        for (let column = 0; column < columns; column += 1, pixel += 4) {
          const index = at(row, column);
          const value = (scan.least + kept.levels[index] * unit - low) * gain;
          greyCells.data[pixel] = greyCells.data[pixel + 1] = greyCells.data[pixel + 2] = value;
          greyCells.data[pixel + 3] = 255;
          const colour = cover && colours[cover[index] - 1];
          if (colour) {
            overCells.data.set(colour, pixel);
            overCells.data[pixel + 3] = 255;
          }
        }
      }
      grey.putImageData(greyCells, 0, 0);
      over.putImageData(overCells, 0, 0);
    }

    // The borders of the first mask's structures, between voxels.
    outline(pen, plane, rows, columns) {
      const { scan, kept } = this;
      const mask = kept.masks[0];
      const at = this.indexer(plane);
      const [wide, tall] = plane.cell;
      const of = (row, column) => {
        if (row < 0 || column < 0 || row >= rows || column >= columns) return 0;
        const found = mask[at(row, column)];
        return found === NO_CLASS ? 0 : found;
      };
      const paths = scan.classes.map(() => new Path2D());
      for (let row = 0; row <= rows; row += 1) {
        for (let column = 0; column <= columns; column += 1) {
          const own = of(row, column);
          const [left, above] = [of(row, column - 1), of(row - 1, column)];
          const [x, y] = [MARGIN + column * wide, MARGIN + row * tall];
          if (own !== left) {
            const path = paths[(own || left) - 1];
            path.moveTo(x, y);
            path.lineTo(x, y + tall);
          }
          if (own !== above) {
            const path = paths[(own || above) - 1];
            path.moveTo(x, y);
            path.lineTo(x + wide, y);
          }
        }
      }
      pen.lineCap = "round";
      paths.forEach((path, index) => {
        pen.strokeStyle = "black";
        pen.lineWidth = 3;
        pen.stroke(path);
        pen.strokeStyle = scan.classes[index].colour;
        pen.lineWidth = 1.5;
        pen.stroke(path);
      });
    }

    // The cross, the letters at the borders, and a bar of so many millimetres.
    marks(pen, plane, width, height, scale) {
      const { scan, point } = this;
      const x = MARGIN + (scan.shape[plane.across] - point[plane.across] - 0.5) * plane.cell[0];
      const y = MARGIN + (scan.shape[plane.down] - point[plane.down] - 0.5) * plane.cell[1];
      pen.strokeStyle = "rgb(255 255 255 / 0.55)";
      pen.lineWidth = 1;
      const gap = 6;
      for (const [x1, y1, x2, y2] of [
        [MARGIN, y, x - gap, y], [x + gap, y, MARGIN + width, y],
        [x, MARGIN, x, y - gap], [x, y + gap, x, MARGIN + height],
      ]) {
        if (x2 < x1 || y2 < y1) continue;
        pen.beginPath();
        pen.moveTo(x1, y1);
        pen.lineTo(x2, y2);
        pen.stroke();
      }
      pen.fillStyle = "rgb(255 221 87)";
      pen.font = `600 12px ${FONT}`;
      pen.textBaseline = "middle";
      pen.textAlign = "center";
      const [left, right, top, bottom] = plane.letters;
      pen.fillText(left, MARGIN / 2, MARGIN + height / 2);
      pen.fillText(right, width + 1.5 * MARGIN, MARGIN + height / 2);
      pen.fillText(top, MARGIN + width / 2, MARGIN / 2);
      pen.fillText(bottom, MARGIN + width / 2, height + 1.5 * MARGIN);
      const long = LENGTHS_MM.filter((length) => length * scale <= width / 2).pop();
      if (!long) return;
      const [from, base] = [MARGIN + 5, MARGIN + height - 6];
      pen.font = `11px ${FONT}`;
      pen.textAlign = "left";
      for (const [colour, wide] of [["rgb(0 0 0 / 0.75)", 4], ["white", 2]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = wide;
        pen.beginPath();
        pen.moveTo(from, base);
        pen.lineTo(from + long * scale, base);
        pen.stroke();
        if (wide > 2) pen.strokeText(`${long} mm`, from, base - 9);
      }
      pen.fillStyle = "white";
      pen.fillText(`${long} mm`, from, base - 9);
    }

    // What lies under the cross.
    tell() {
      const { scan, kept, point } = this;
      const index = point.reduce((sum, at, axis) => sum + at * this.strides[axis], 0);
      const unit = (scan.greatest - scan.least) / 4095;
      const value = scan.least + kept.levels[index] * unit;
      const voxel = point.map((at, axis) => scan.first[axis] + at * scan.step[axis] + 1);
      const mm = scan.places.map(
        (row) => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3],
      );
      const [right, front, head] = mm.map((one) => one.toFixed(1).replace("-", "−"));
      const classes = scan.masks.map((mask, number) => {
        const found = kept.masks[number][index];
        const name = found === NO_CLASS ? "no class" : found ? scan.classes[found - 1]?.name : "background";
        return `${mask.name}: ${name}`;
      });
      const shown = Number(value.toPrecision(4)).toString().replace("-", "−");
      this.said.textContent = [
        `voxel ${voxel.join(", ")} (depth, height, width)`,
        `${right} mm right, ${front} mm to the front, ${head} mm to the head`,
        `value ${shown}`, ...classes,
      ].join(" · ");
    }
  }

  const scans = JSON.parse(document.getElementById("scan-values").textContent);
  for (const place of document.querySelectorAll("[data-scan]")) {
    const button = place.querySelector("button");
    const open = async () => {
      const scan = scans[Number(place.dataset.scan)];
      button.disabled = true;
      button.textContent = "Opening …";
      try {
        const viewer = new Viewer(place, scan, await unpacked(scan));
        if (place.dataset.open === undefined) viewer.planes[0].canvas.focus();
      } catch (problem) {
        button.textContent = `This browser cannot open the scan (${problem.message})`;
      }
    };
    button.hidden = false;
    button.addEventListener("click", open);
    if (place.dataset.open !== undefined) open();
  }
})();
