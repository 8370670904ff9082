"""Videos: every face followed through the frames, upscaled, and laid back without flicker.

clip_reader.py and clip_writer.py are the only files that know PyAV; tracks.py follows faces, with
one_euro.py for their places and detail.py for what is added to them; photo_frames.py and
crop_frames.py upscale one frame after the other (frames.py says what is asked of them), and run.py
takes a file through all of it.
"""
