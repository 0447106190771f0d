// Makes the calls of CALLS with OpenAI's library, and prints what came of each as one line of JSON.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.errors.OpenAIServiceException;
import com.openai.models.images.Image;
import com.openai.models.images.ImageEditParams;
import com.openai.models.images.ImageGenerateParams;
import com.openai.models.images.ImagesResponse;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.Base64;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;

public class Images {
    static final ObjectMapper json = new ObjectMapper();

    static String head(String picture) {
        return HexFormat.of().formatHex(Base64.getDecoder().decode(picture), 0, 8);
    }

    static ImageEditParams edited(JsonNode call) {
        byte[] picture = Base64.getDecoder().decode(System.getenv("PICTURE"));
        ImageEditParams.Builder params = ImageEditParams.builder().prompt(call.get("prompt").asText());
        int count = call.get("edit").asInt();
        if (count == 1) params.image(new ByteArrayInputStream(picture));
        else params.image(ImageEditParams.Image.ofInputStreams(Collections.nCopies(count, picture).stream().map(bytes -> (InputStream) new ByteArrayInputStream(bytes)).toList()));
        if (call.has("model")) params.model(call.get("model").asText());
        if (call.has("n")) params.n(call.get("n").asLong());
        if (call.has("size")) params.size(ImageEditParams.Size.of(call.get("size").asText()));
        if (call.has("seed")) params.putAdditionalBodyProperty("seed", JsonValue.from(call.get("seed").bigIntegerValue()));
        return params.build();
    }

    static ObjectNode make(OpenAIClient client, JsonNode call) {
        ObjectNode outcome = json.createObjectNode();
        ArrayNode urls = outcome.putArray("urls");
        ArrayNode files = outcome.putArray("files");
        ArrayNode seeds = outcome.putArray("seeds");
        ImageGenerateParams.Builder params = ImageGenerateParams.builder().prompt(call.get("prompt").asText());
        if (call.has("model")) params.model(call.get("model").asText());
        if (call.has("n")) params.n(call.get("n").asLong());
        if (call.has("size")) params.size(ImageGenerateParams.Size.of(call.get("size").asText()));
        if (call.has("quality")) params.quality(ImageGenerateParams.Quality.of(call.get("quality").asText()));
        if (call.has("response_format")) params.responseFormat(ImageGenerateParams.ResponseFormat.of(call.get("response_format").asText()));
        if (call.has("seed")) params.putAdditionalBodyProperty("seed", JsonValue.from(call.get("seed").bigIntegerValue()));
        try {
            if (call.has("stream")) {
                try (var stream = client.images().generateStreaming(params.build())) {
                    stream.stream().forEach(event -> event.generationCompleted().ifPresent(done -> files.add(head(done.b64Json()))));
                }
                return outcome;
            }
            ImagesResponse answer = call.has("edit") ? client.images().edit(edited(call)) : client.images().generate(params.build());
            outcome.put("created", answer.created());
            for (Image picture : answer.data().orElse(List.of())) {
                picture.url().ifPresent(urls::add);
                picture.b64Json().ifPresent(file -> files.add(head(file)));
                JsonValue seed = picture._additionalProperties().get("seed");
                if (seed != null) seeds.add(seed.toString());
            }
        } catch (OpenAIServiceException error) {
            outcome.putObject("error").put("status", error.statusCode()).put("code", error.code().orElse(null)).put("param", error.param().orElse(null)).put("message", error.getMessage());
        }
        return outcome;
    }

    public static void main(String[] args) throws Exception {
        OpenAIClient client = OpenAIOkHttpClient.builder().baseUrl(System.getenv("OPENAI_BASE_URL")).apiKey(System.getenv("OPENAI_API_KEY")).build();
        ObjectNode said = json.createObjectNode();
        ArrayNode outcomes = said.putArray("outcomes");
        for (JsonNode call : json.readTree(System.getenv("CALLS"))) outcomes.add(make(client, call));
        ArrayNode models = said.putArray("models");
        client.models().list().data().forEach(model -> models.add(model.id()));
        System.out.println(json.writeValueAsString(said));
        System.exit(0);
    }
}
