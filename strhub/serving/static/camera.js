// The camera: what it sees, and a still of it.

export function camera(panel, video, onStill, onError) {
  let stream = null;

  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    panel.hidden = true;
  };

  const open = async () => {
    if (!navigator.mediaDevices?.getUserMedia) {
      onError("This browser gives a camera to pages of localhost and https only.");
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1920 }, height: { ideal: 1080 }, facingMode: "environment" },
      });
    } catch (error) {
      onError(error.name === "NotFoundError" ? "There is no camera." : "The camera was not allowed.");
      return;
    }
    panel.hidden = false;
    video.srcObject = stream;
    await video.play();
  };

  const capture = () => {
    if (!video.videoWidth) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => onStill(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
  };

  return { open, close, capture };
}
