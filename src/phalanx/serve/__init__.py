"""A page in the browser: photos, clips and the webcam in, hands out. `phalanx serve`; needs the extra `serve`, and no PyTorch."""
