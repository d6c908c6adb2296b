# Triton with the reference models and what they import. Build it from the repository's root:
#   docker build -f deploy/triton.Dockerfile -t penumbra-triton .
# The release that the nvidia-pytriton wheel of the tests carries (server 2.51).
FROM nvcr.io/nvidia/tritonserver:24.10-py3
RUN pip install --no-cache-dir "numpy>=1.26.4,<2" "scipy>=1.14,<2"
COPY ai/serving/repository /models
USER 1000:1000
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/live', timeout=4)"]
# Models may be loaded anew by a client: what the node does for one whose process died.
CMD ["tritonserver", "--model-repository=/models", "--exit-on-error=false", \
    "--model-control-mode=explicit", "--load-model=*"]
