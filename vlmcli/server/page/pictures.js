/** Pictures that were chosen, dropped or pasted: what is sent of them, and how they are shown. */

import { byId, element } from "./dom.js";

/** A picture's file. Its bytes are sent as they are, so that the server reads the whole picture, EXIF included. */
export class Picture {
  constructor(file) {
    this.name = file.name || "pasted picture";
    this.url = URL.createObjectURL(file);
    this._file = file;
  }

  /** The file as a data URI. */
  async uri() {
    const bytes = await this._file.arrayBuffer().catch(() => {
      throw new Error(`The file ${this.name} cannot be read. It may be a folder, or it has been moved.`);
    });
    if (!bytes.byteLength) throw new Error(`The file ${this.name} is empty.`);
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      // The server looks at the bytes, not at the type, which depends on the name.
      reader.readAsDataURL(new Blob([bytes], { type: this._file.type || "application/octet-stream" }));
    });
  }

  /** An element that shows it, upright by its EXIF as browsers do; a tile with its name where the browser cannot. */
  shown() {
    const image = element("img", { src: this.url, alt: this.name });
    image.addEventListener("error", () => {
      image.replaceWith(element("span", { className: "tile" }, this.name, element("small", {}, "no preview")));
    });
    return image;
  }

  /** Free the memory that the browser keeps for it. */
  forget() {
    URL.revokeObjectURL(this.url);
  }
}

/** The pictures that the next question is about. */
export class Tray {
  constructor() {
    this.pictures = [];
    this._list = byId("tray");
    this._input = byId("files");
    this._input.addEventListener("change", () => {
      this.add(this._input.files);
      this._input.value = ""; // so that the same file can be chosen again after it was removed
    });
    this._drops();
    document.addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) {
        event.preventDefault(); // else its name might be pasted as text, too
        this.add(event.clipboardData.files);
      }
    });
  }

  /** Add files. */
  add(files) {
    const pictures = [...files].map((file) => new Picture(file));
    this.put(pictures);
    byId("status").textContent = `Added ${pictures.map((picture) => picture.name).join(", ")}.`;
  }

  /** Add pictures. */
  put(pictures) {
    this.pictures.push(...pictures);
    this._show();
  }

  /** Hand the pictures over, and be empty. */
  take() {
    const taken = this.pictures;
    this.pictures = [];
    this._show();
    return taken;
  }

  /** The whole page takes drops: a browser would leave it for a file or a link that is dropped beside a small target. */
  _drops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
    const isText = (event) => !hasFiles(event) && event.target.matches?.("textarea, input");
    document.addEventListener("dragover", (event) => {
      if (isText(event)) return; // the question takes it
      event.preventDefault();
      if (hasFiles(event)) mark(true);
      else event.dataTransfer.dropEffect = "none";
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) mark(false); // the pointer has left the window, not only an element
    });
    document.addEventListener("drop", (event) => {
      if (isText(event)) return;
      event.preventDefault();
      mark(false);
      this.add(event.dataTransfer.files);
    });
  }

  _show() {
    this._list.replaceChildren(...this.pictures.map((picture) => this._item(picture)));
    this._list.hidden = !this.pictures.length;
  }

  _item(picture) {
    const remove = element("button", { type: "button", className: "remove", "aria-label": `Remove ${picture.name}` }, "×");
    remove.addEventListener("click", () => {
      const place = this.pictures.indexOf(picture);
      this.pictures.splice(place, 1);
      picture.forget();
      this._show();
      byId("status").textContent = `Removed ${picture.name}.`;
      // The button that had the focus is gone; the next one takes it.
      const buttons = this._list.querySelectorAll("button");
      (buttons[Math.min(place, buttons.length - 1)] ?? this._input).focus();
    });
    return element("li", {}, picture.shown(), remove);
  }
}
